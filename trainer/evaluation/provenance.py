"""Provenance of a report."""

import datetime
import importlib.metadata
import platform
from typing import Any

import trainer

_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "statsmodels")


def provenance(command: str) -> dict[str, Any]:
    """Returns the fields `command`, `created` (ISO 8601) and `versions` for a report.

    Args:
        command: the command line that creates the report.
    """
    return {
        "command": command,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), "cxr-trainer": trainer.__version__}
        | {package: importlib.metadata.version(package) for package in _PACKAGES},
    }
