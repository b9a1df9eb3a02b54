"""Reports of studies: runs of several configurations over seeds and folds."""
