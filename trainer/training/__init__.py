"""The training engine and the training loop."""
