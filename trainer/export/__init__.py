"""Export of a finished run's model to files that can be served without this project."""
