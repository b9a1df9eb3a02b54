"""Several trainings by one plan: every combination of settings, seeds and folds."""
