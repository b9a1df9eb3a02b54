"""Studies: trainings of all combinations of settings, seeds and folds in a plan."""
