"""What the commands of all packages share. Knows flags, nothing of radiographs or models."""
