"""The arrows that BUILD.md draws are those that the imports make; no test file imports another."""

import ast
import graphlib
import re

import pytest

from tests.conftest import ROOT

PACKAGES = ("cxr_command", "cxr_tfds", "trainer", "launch", "benchmarks")


def part_of(module):
    """What an arrow begins or ends at: a package, or a module or package inside trainer."""
    words = module.split(".")
    return words[1] if words[0] == "trainer" and words[1:] else words[0]


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:  # Others stay in their package.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def drawn():
    """{part: the parts it imports} of BUILD.md."""
    arrows = {}
    for line in (ROOT / "BUILD.md").read_text().splitlines():
        if match := re.fullmatch(r" {4}(\w+) +-> (.+)", line):
            arrows[match[1]] = set(match[2].split())
    return arrows


@pytest.fixture(scope="module")
def made():
    """{part: the parts it imports} of the code."""
    arrows = {}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            module = module.removesuffix(".__init__")
            names = [name for name in imported(file) if name.split(".")[0] in PACKAGES]
            others = set(map(part_of, names)) - {part_of(module), "errors"}
            if others:
                arrows.setdefault(part_of(module), set()).update(others)
    return arrows


def test_the_arrows_are_the_imports(made):
    assert drawn() == made


def test_no_arrow_leads_back(made):
    graphlib.TopologicalSorter(made).prepare()  # Raises where there is a circle.


def test_no_test_file_is_imported():
    # What several of them need stands in tests/support or in conftest.py.
    files = (ROOT / "tests").rglob("*.py")
    names = {file.name: list(imported(file)) for file in files}
    importing = {file for file, of in names.items() if any(n.startswith("tests.test_") for n in of)}
    assert not importing
