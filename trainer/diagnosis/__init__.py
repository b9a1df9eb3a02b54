"""Diagnosis of a machine: whether training will work on it."""
