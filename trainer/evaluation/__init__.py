"""Evaluates finished runs."""
