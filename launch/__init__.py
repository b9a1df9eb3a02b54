"""Launchers of trainer.main for several GPUs or machines, independent of models."""
