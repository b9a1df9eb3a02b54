"""Predictions for unlabelled radiographs: files in, rows of a table out."""
