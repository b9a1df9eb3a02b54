"""The import map: the actual imports between parts, and the ones drawn in CONTRIBUTING.md.

    python -m tests.support.import_map      # make map

redraws it, from the bottom up, removing leftovers of merges.
"""

import ast
import graphlib
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
PACKAGES = ("cxr_command", "cxr_tfds", "trainer", "launch", "benchmarks")
_ARROW = r"^ {4}(\w+) +-> (.+)\n"


def imported(file: pathlib.Path) -> Iterator[str]:
    """Yields the names that a file imports from other packages, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:  # Relative imports stay inside.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """Returns the part of a module: a package, or a module or package inside trainer."""
    words = module.split(".")
    return words[1] if words[0] == "trainer" and words[1:] else words[0]


def made() -> dict[str, set[str]]:
    """Returns {part: the parts it imports} of the code."""
    arrows: dict[str, set[str]] = {}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            module = module.removesuffix(".__init__")
            names = [name for name in imported(file) if name.split(".")[0] in PACKAGES]
            others = set(map(part_of, names)) - {part_of(module), "errors"}
            if others:
                arrows.setdefault(part_of(module), set()).update(others)
    return arrows


def drawn() -> dict[str, set[str]]:
    """Returns {part: the parts it imports} of the page."""
    found = re.findall(_ARROW, PAGE.read_text(), re.MULTILINE)
    return {part: set(others.split()) for part, others in found}


def draw() -> None:
    """Replaces the page's import map by the code's."""
    arrows = made()
    graph = {part: sorted(arrows[part]) for part in sorted(arrows)}
    order = [part for part in graphlib.TopologicalSorter(graph).static_order() if part in graph]
    lines = "".join(f"    {part:<14} -> {' '.join(graph[part])}\n" for part in order)
    all_of_them = re.compile(f"{_ARROW}(.*\n)*{_ARROW}", re.MULTILINE)
    PAGE.write_text(all_of_them.sub(lambda _: lines, PAGE.read_text()))


if __name__ == "__main__":
    draw()
