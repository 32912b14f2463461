"""How fast this machine trains the chapter, and where the time goes.

- `jobs`: what is timed. `timing`: rivals in turn, each in a process of its
  own; `serve`: that process.
- `ours`, `apart`, `book`, `pytorch`, `torch_book`: the functions that are
  timed there.
- `command`: all of it, as `python -m gluon_mlp bench`. `report`: what it
  prints and writes, and two runs compared. `tables`: the page's tables.

`bench.json` holds
- `schema`: 2;
- `about`: machine, versions, settings and date, texts or numbers;
- `results`: a list of the `kind` of a job ('chapter', 'epoch', 'step',
  'product', 'load'), the `section`, `what` was timed, a `part` of it or null,
  by `who` ('ours', 'PyTorch eager' ...), `beside` how many busy processes;
  seconds as `first` (the first call, if it does not count, else null),
  `times`, `median`, `q1` and `q3` (quartiles); `peak_mb` of memory or null;
  `accuracy`, on the test data after each epoch, or null;
- `missing`: rivals that could not run: `what`, `who`, `why`.
"""
