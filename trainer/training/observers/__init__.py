"""Observers of a training: each shows or records what the loop reports."""
