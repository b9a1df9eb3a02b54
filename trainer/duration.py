"""Durations in words."""

_SECONDS = {"d": 86400, "h": 3600, "min": 60, "s": 1}


def in_words(seconds: float) -> str:
    """Formats a duration in its largest unit, such as `3 h`."""
    unit = next((unit for unit, length in _SECONDS.items() if seconds >= length), "s")
    return f"{seconds / _SECONDS[unit]:.0f} {unit}"
