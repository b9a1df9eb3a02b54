"""The commands, and the scripts that are aliases of them."""

import importlib.metadata
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("trainer", "cxr_tfds", "launch", "benchmarks")
COMMANDS = sorted(
    f"{file.parent.name}.{file.stem}"
    for package in PACKAGES
    for file in (ROOT / package).glob("*.py")
    if re.search(r"\bcommand\.run\(|\bCommand\(_main\b", file.read_text())
)
SCRIPTS = {
    script.module: script.name
    for script in importlib.metadata.distribution("cxr-trainer").entry_points
}
