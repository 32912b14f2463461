"""The comparison with the book, number by number.

- `published`: the book's numbers; `reproduce`: ours.
- `rows`: what may differ, and the verdicts.
- `book`: the chapter in the book's own code; `control`: our trainings beside
  those.
- `document`, `page` with `figures`, `terminal`: the result for programs, in
  a browser, in a terminal.
- `command`: all of it, as `python -m gluon_mlp compare`.
"""
