"""Predictions for unlabelled radiographs, from files to table rows."""
