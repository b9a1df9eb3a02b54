"""Utilisation of devices and time in a training, per epoch."""
