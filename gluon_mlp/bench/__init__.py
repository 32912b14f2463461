"""How fast this machine trains the chapter, and where the time goes.

`timing`: rivals in turn, each in a process of its own; `worker`: that
process; `ours`, `pytorch`: what is timed there; `command`: all of it, as
`python -m gluon_mlp bench`; `report`: table, plots, and two runs compared.

`bench.json` holds
- `schema`: 1;
- `about`: machine, versions, settings and date, texts or numbers;
- `results`: a list of `what` was timed, by `who` ('ours', 'book', 'PyTorch
  eager' ...), `x` (the batch size, hidden units or threads of a sweep, else
  null), seconds as `first` (the first call, if it is apart, else null),
  `times`, `median`, `q1` and `q3` (quartiles); `images` and `flop` of one
  repetition or null, from which follow `images_per_s` and `gflop_per_s`;
  `accuracy`, of the test data after each epoch, or null;
- `missing`: rivals that could not run: `what`, `who`, `why`.
"""
