"""Measures the project beside what a user would use instead."""
