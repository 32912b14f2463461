"""How fast this machine trains the chapter, and where the time goes.

- `jobs`: what is timed. `timing`: rivals in turn, each in a process of its
  own; `serve`: that process.
- `ours`, `book`, `pytorch`: the functions that are timed there.
- `command`: all of it, as `python -m gluon_mlp bench`. `report`: the table,
  the plots, and two runs compared.

`bench.json` holds
- `schema`: 1;
- `about`: machine, versions, settings and date, texts or numbers;
- `results`: a list of the `kind` of a job ('chapter', 'epoch', 'steps',
  'product', 'part', 'sweep'), the `section` of an epoch or of steps, `what`
  was timed, by `who` ('ours', 'book', 'PyTorch eager' ...), `x` (the batch
  size, hidden units or threads of a sweep, else null), seconds as `first`
  (the first call, if it does not count, else null), `times`, `median`, `q1`
  and `q3` (quartiles); `images`, `steps` and `flop` of one repetition or
  null, from which follow `images_per_s` and `gflop_per_s`; `peak_mb` of
  memory or null; `accuracy`, on the test data after each epoch, or null;
- `missing`: rivals that could not run: `what`, `who`, `why`.
"""
