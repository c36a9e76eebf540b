"""Hit -> causes: checkpoints, tranches, examples, experiments."""
