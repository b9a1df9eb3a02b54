"""How well a training uses its devices and its time, epoch by epoch."""
