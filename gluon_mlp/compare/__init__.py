"""The comparison with the book, number by number.

- `quantities`: what the book published; `printings`: its numbers;
  `reproduce`: ours.
- `agreement`, with `statistics` and `recorded`: the tests; `known`: what we
  miss; `rows`: the verdicts.
- `book`: the chapter in the book's own code; `control`: our trainings beside
  those.
- `document`, `page` with `figures`, `terminal`: the result for programs, in
  a browser, in a terminal.
- `command`: all of it, as `python -m gluon_mlp compare`.
- `power`: wrong ports, and who catches them.
"""
