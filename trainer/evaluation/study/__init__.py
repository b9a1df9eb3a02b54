"""The report of a study: many runs of a few configurations, over seeds and folds."""
