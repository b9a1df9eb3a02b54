"""The version of this project that is running."""

import pathlib
import subprocess

import trainer

_CHECKOUT = pathlib.Path(trainer.__file__).parents[1]


def revision() -> str:
    """Returns the git commit of a checkout, otherwise the package's version."""
    if not (_CHECKOUT / ".git").exists():
        return trainer.__version__
    try:
        found = subprocess.run(  # noqa: S603
            ["git", "-C", _CHECKOUT, "rev-parse", "HEAD"],  # noqa: S607 - as the user has it
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return trainer.__version__
    return found.stdout.strip()
