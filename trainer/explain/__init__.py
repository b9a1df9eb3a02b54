"""Shows what a finished run's model looks at."""
