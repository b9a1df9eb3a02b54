"""What a machine is, and whether training will work on it."""
