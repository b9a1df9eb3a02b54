"""Judges a finished run."""
