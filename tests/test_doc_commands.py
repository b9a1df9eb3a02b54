"""Runs the commands of the documentation's pages, in order, where the names in them exist."""

import csv
import os
import pathlib
import re
import shutil
import sys

import numpy as np
import pytest

from tests.support import dicom_file, pages
from tests.support.pages import PAGES, name_of

pytestmark = pytest.mark.slow
RUN_HERE = [page for page in PAGES if any(not one.is_marked for one in pages.blocks_of(page))]
TUTORIALS, GUIDES = pages.ROOT / "docs" / "tutorials", pages.ROOT / "docs" / "how_to"
BIN = pathlib.Path(sys.executable).parent


@pytest.fixture(scope="module")
def place(phantom_database, data_dir, finished_run, tmp_path_factory):
    """A folder with everything that the commands name."""
    place = tmp_path_factory.mktemp("documented")
    for name in ("cxr_tfds", "docs"):
        (place / name).symlink_to(pages.ROOT / name)
    (place / "KAGGLE").symlink_to(phantom_database)
    shutil.copytree(data_dir, place / "DATA")
    for name in ("RUN", "RUN1", "RUN2", "runs/lenet"):
        shutil.copytree(finished_run, place / name)
    images = sorted(phantom_database.glob("*/*/images/*-[12].png"))
    for image in images:
        copy = place / "FOLDER" / image.parents[1].name / image.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, copy)
    write_table(place / "list.csv", [["path"], *([str(image)] for image in images)])
    (place / "plan.txt").write_text(*pages.other_code_of(TUTORIALS / "study.md", "ini"))
    (place / "search.txt").write_text(*pages.other_code_of(GUIDES / "search.md", "ini"))
    write_cases(place)
    write_own_radiographs(place / "DIR")
    return place


def write_table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_cases(place):
    """The table of the page on evaluation, and the DICOM files in it."""
    (table,) = pages.other_code_of(GUIDES / "evaluate.md", "csv")
    (place / "cases.csv").write_text(table)
    (place / "scans").mkdir()
    for seed, row in enumerate(csv.DictReader(table.splitlines())):
        write_scan(place / row["path"], seed)


def write_own_radiographs(folder):
    """A manifest with the columns of the tutorial's, and ten patients of each of its classes."""
    (table,) = pages.other_code_of(TUTORIALS / "own_radiographs.md", "csv")
    header, *rows = csv.reader(table.splitlines())
    (folder / "scans").mkdir(parents=True)
    manifest = [header]
    for number in range(20):
        _, label, _, *rest = rows[number % len(rows)]
        path = f"scans/{number:04}.dcm"
        write_scan(folder / path, number)
        manifest.append([path, label, f"P{number}", *rest])
    write_table(folder / "manifest.csv", manifest)


def write_scan(path, seed):
    dicom_file.write(path, np.random.default_rng(seed).integers(0, 4096, (64, 48), np.uint16))


@pytest.mark.parametrize("page", RUN_HERE, ids=name_of)
def test_the_commands_of_a_page_work(page, place, forks):
    for block in pages.blocks_of(page):
        if not block.is_marked:
            for words in block.lines():
                run(words, place, forks)


def run(words, place, forks):
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    while found := re.fullmatch(r"([A-Z_]+)=(.*)", words[0]):
        environment[found[1]] = found[2]
        words = words[1:]
    if words[0] == "tfds":
        module, arguments = "tensorflow_datasets.scripts.cli.main", words[1:]
    else:
        assert words[:2] == ["python", "-m"], words
        module, arguments = words[2], words[3:]
    ended = forks.run(module, arguments, place, environment)
    assert ended.code == 0, f"{' '.join(words)}\n{ended.said[-3000:]}"
