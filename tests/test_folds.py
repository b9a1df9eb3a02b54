import csv
import os
import pathlib
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

from cxr_command import split_table
from cxr_command.split_table import Row
from cxr_tfds import folds

SIZES = {"COVID": 363, "Lung_Opacity": 601, "Normal": 1018, "Viral Pneumonia": 134}


def rows_with_groups():
    """Every seventh radiograph of a class is a copy of the one before it."""
    rows = []
    for label, size in SIZES.items():
        for n in range(1, size + 1):
            split = ("train", "validation", "test")[n // 7 % 3]
            group = n - (n % 7 == 0)
            digest = f"{label}-{n} of the database".encode().hex().zfill(64)
            rows.append(Row(f"{label}-{n}", label, "rsna", split, f"{label}-{group}", digest))
    return rows


@pytest.mark.parametrize("k", [2, 5, 10])
def test_folds_are_stratified_and_no_group_is_torn_apart(k):
    rows = rows_with_groups()
    fold_of = folds.assign(rows, k)
    assert set(fold_of) == {row.id for row in rows}
    sizes = Counter(fold_of.values())
    assert set(sizes) == set(range(k))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    for label, size in SIZES.items():
        counts = Counter(fold_of[row.id] for row in rows if row.label == label)
        assert all(abs(counts[fold] - size / k) < 1 for fold in range(k))
    homes = defaultdict(set)
    for row in rows:
        homes[row.group].add(fold_of[row.id])
    assert all(len(home) == 1 for home in homes.values())


def test_the_order_of_the_table_does_not_matter():
    rows = rows_with_groups()
    assert folds.assign(rows, 5) == folds.assign(rows[::-1], 5)


@pytest.mark.parametrize("k", [-1, 0, 1, 9])
def test_impossible_numbers_of_folds_are_refused(k):
    rows = rows_with_groups()[:9]
    with pytest.raises(ValueError, match=f"in 8 groups into {k} folds: choose from 2 to 8"):
        folds.assign(rows, k)


def command(tmp_path, *flags):
    folder = tmp_path / "covid19_radiography/224x224/1.0.0"
    if not folder.exists():
        folder.mkdir(parents=True)
        split_table.write(folder, rows_with_groups())
    flags = [f"--data_dir={tmp_path}", f"--output={tmp_path / 'folds.csv'}", *flags]
    command = [sys.executable, "-m", "cxr_tfds.folds", *flags]
    return subprocess.run(command, capture_output=True, text=True)  # noqa: S603


def test_the_command_writes_the_folds_of_the_splits_asked_for(tmp_path):
    done = command(tmp_path, "--folds=4", "--splits=train,validation")
    assert done.returncode == 0, done.stderr
    rows = [row for row in rows_with_groups() if row.split != "test"]
    with (tmp_path / "folds.csv").open(newline="") as file:
        written = {line["id"]: int(line["fold"]) for line in csv.DictReader(file)}
    assert written == folds.assign(rows, 4)


@pytest.mark.parametrize("flag", ["--folds=1", "--folds=many", "--splits=training"])
def test_wrong_flags_end_with_one_sentence(tmp_path, flag):
    done = command(tmp_path, flag)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "folds.csv").exists()


def write(path):
    rows = rows_with_groups()[:1]
    folds._write(path, rows, {rows[0].id: 0})


WRITTEN = b"id,label,group,fold\nCOVID-1,COVID,COVID-1,0\n"


def test_a_link_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == WRITTEN


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(tmp_path / "pipe")
    assert os.read(reader, 100) == WRITTEN
    assert (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_a_link_to_a_pipe_as_dev_stdout_is_written_to():
    reader, writer = os.pipe()
    write(pathlib.Path(f"/proc/self/fd/{writer}"))
    os.close(writer)
    assert os.read(reader, 100) == WRITTEN
    os.close(reader)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError):
        write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_keeps_the_older_file(tmp_path, monkeypatch):
    (tmp_path / "folds.csv").write_text("an older one")

    def write_half(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "folds.csv")
    assert (tmp_path / "folds.csv").read_text() == "an older one"
    assert [path.name for path in tmp_path.iterdir()] == ["folds.csv"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("a" * 300, "File name too long"),
        ("no/f.csv", "No such file"),
        ("/dev/full", "No space left"),
    ],
)
def test_what_cannot_be_written_ends_with_one_sentence(tmp_path, output, words):
    done = command(tmp_path, f"--output={output}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"cxr_tfds.folds: cannot write to {output} ({words}")
    assert len(done.stderr.splitlines()) == 1
