"""How a script runs: its options, checkpoints, workers and device."""
