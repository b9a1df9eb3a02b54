"""Observers of a training, which display or record what the loop reports."""
