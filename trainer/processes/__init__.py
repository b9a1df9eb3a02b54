"""Processes that a command starts: they never outlive it, and are told when to stop."""
