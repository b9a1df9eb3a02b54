"""CONTRIBUTING.md draws the arrows that the imports make; no test file imports another."""

import graphlib

from tests.conftest import ROOT
from tests.support import import_map


def test_the_arrows_are_the_imports():
    assert import_map.drawn() == import_map.made()


def test_no_arrow_leads_back():
    graphlib.TopologicalSorter(import_map.made()).prepare()  # Raises where there is a circle.


def test_the_arrows_are_drawn_anew_over_those_of_a_merge(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n    a -> b\n<<<<<<<\n    launch -> c\n\nAfter.\n\n    a -- b\n")
    monkeypatch.setattr(import_map, "PAGE", page)
    import_map.draw()
    assert import_map.drawn() == import_map.made()
    text = page.read_text()
    assert text.startswith("Before.\n\n    ") and text.endswith("\n\nAfter.\n\n    a -- b\n")
    assert "<<<" not in text


def test_no_test_file_is_imported():
    # What several of them need stands in tests/support or in conftest.py.
    files = (ROOT / "tests").rglob("*.py")
    names = {file.name: list(import_map.imported(file)) for file in files}
    importing = {file for file, of in names.items() if any(n.startswith("tests.test_") for n in of)}
    assert not importing
