"""Prints the pins of packages that a report of `pip install` has and a lock file lacks."""

import json
import pathlib
import re
import sys


def normal(name: str) -> str:
    """A package's name as all its spellings have it in common (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(report: str, lock: str) -> None:
    """Compares the two files by the names of the packages."""
    lines = pathlib.Path(lock).read_text().splitlines()
    locked = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    found = [one["metadata"] for one in json.loads(pathlib.Path(report).read_text())["install"]]
    others = [one for one in found if normal(one["name"]) not in locked | {"cxr-trainer"}]
    for one in sorted(others, key=lambda one: normal(one["name"])):
        print(f"{one['name']}=={one['version']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
