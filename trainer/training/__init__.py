"""The training engine, and what happens around its steps."""
