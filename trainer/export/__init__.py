"""Turns a finished run's model into files that serve it without this project."""
