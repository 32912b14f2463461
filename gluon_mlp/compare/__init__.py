"""The comparison with the book, number by number.

`published`: its numbers; `reproduce`: ours; `rows`: what may differ, and the
verdicts; `control`: the book's own loop; `report`: the page; `command`: all of
it, as `python -m gluon_mlp compare`.
"""
