"""Starts trainer.main on several GPUs or machines. Knows processes, nothing of models."""
