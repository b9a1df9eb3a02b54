import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics

from cxr_command import split_table
from cxr_command.split_table import Row
from cxr_tfds import audit, confounding
from tests.conftest import ROOT
from tests.support.forked_commands import bare_machine


def made_up_rows(number=400):
    """A table in which the class depends on the source, and every tenth is a copy."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(number):
        source = rng.choice(["rsna", "kermany", "sirm"], p=[0.6, 0.3, 0.1])
        label = {"rsna": "Normal", "kermany": "Viral Pneumonia", "sirm": "COVID"}[source]
        label = "Lung_Opacity" if rng.random() < 0.3 else label
        split = rng.choice(["train", "validation", "test"], p=[0.6, 0.2, 0.2])
        rows.append(Row(f"{label}-{n}", label, source, split, f"{label}-{n}", f"{n:064x}"))
        if n % 10 == 0:
            rows.append(rows[-1]._replace(id=f"{label}-{number + n}"))
    rows.append(Row("COVID-9999", "COVID", "eurorad", "test", "COVID-9999", "f" * 64))
    return rows


def write(data_dir, rows, config="224x224", version="1.0.0"):
    folder = data_dir / "covid19_radiography" / config / version
    folder.mkdir(parents=True)
    split_table.write(folder, rows)
    return folder


def command(*arguments):
    return bare_machine().run("cxr_tfds.audit", list(map(str, arguments)), ROOT)


def test_the_source_only_score_is_that_of_a_table_of_most_frequent_classes():
    rows = made_up_rows()
    baseline = confounding.evaluate_source_alone(rows)
    train = [row for row in rows if row.split == "train"]
    most = {}
    for source in ("rsna", "kermany", "sirm"):
        labels, counts = np.unique(
            [r.label for r in train if r.source == source], return_counts=True
        )
        most[source] = str(labels[counts.argmax()])
    assert baseline.says == most
    # Eurorad is not in the training split: the most frequent class of all is the guess.
    truth = [row.label for row in rows if row.split == "test"]
    guess = [most.get(row.source, "Normal") for row in rows if row.split == "test"]
    assert baseline.accuracy == pytest.approx(metrics.accuracy_score(truth, guess))
    assert baseline.balanced_accuracy == pytest.approx(
        metrics.balanced_accuracy_score(truth, guess)
    )
    assert baseline.majority == pytest.approx(truth.count("Normal") / len(truth))


def test_groups_and_those_that_straddle_are_found():
    rows = made_up_rows()
    groups = audit.duplicate_groups(rows)
    assert [len(members) for members in groups] == [2] * 40
    assert audit.straddling(groups) == []
    elsewhere = {"train": "test", "validation": "test", "test": "train"}
    index = rows.index(groups[3][1])
    rows[index] = rows[index]._replace(split=elsewhere[rows[index].split])
    torn = audit.straddling(audit.duplicate_groups(rows))
    assert [[row.id for row in members] for members in torn] == [[row.id for row in groups[3]]]


def test_the_command_prints_counts_groups_and_the_score(tmp_path):
    rows = made_up_rows()
    write(tmp_path, rows)
    done = command(f"--data_dir={tmp_path}")
    assert done.code == 0, done.stderr
    numbers = [line.split() for line in done.stdout.splitlines() if line.startswith("COVID ")]
    by_split = [sum(r.label == "COVID" and r.split == s for r in rows) for s in audit._SPLITS]
    assert numbers[0] == ["COVID", *map(str, by_split), str(sum(by_split))]
    assert "40 groups of 80 radiographs; 40 with byte-identical files, 0 with" in done.stdout
    assert "Groups in more than one split: none." in done.stdout
    assert (
        f"score {confounding.evaluate_source_alone(rows).accuracy:.2%} on the test split"
        in done.stdout
    )


def test_the_command_prints_what_drawing_anew_changes(tmp_path):
    rows = made_up_rows()
    write(tmp_path, rows)
    said = command(f"--data_dir={tmp_path}").stdout
    train = [row for row in rows if row.split == "train"]
    value = confounding.cramers_v([row.label for row in train], [row.source for row in train])
    assert f"  train        {value:.3f}\n" in said
    association, accuracy = said.partition("Cramer's V of the training split")[2].split("\n\n")
    for one in confounding.redraw(rows):
        for table, values in ((association, one.cramers_v), (accuracy, one.accuracy)):
            cells = [f"{one.size:,}", *(f"{value:.3f}" for value in values)]
            (line,) = [s for s in table.splitlines() if s.startswith(f"{one.label}:{one.source} ")]
            assert line.split() == [f"{one.label}:{one.source}", *cells]


def test_where_no_class_has_two_sources_none_is_drawn(tmp_path):
    write(tmp_path, [row for row in made_up_rows() if row.source == "rsna"])
    assert "No class has examples from two sources" in command(f"--data_dir={tmp_path}").stdout


def test_the_command_fails_if_a_group_straddles(tmp_path):
    rows = made_up_rows()
    copy = rows[0]._replace(id="COVID-5000", split="test")
    write(tmp_path, [rows[0]._replace(split="train"), copy, *rows[2:]])
    done = command(f"--data_dir={tmp_path}")
    assert done.code == 1
    assert "Groups in more than one split: 1." in done.stdout
    assert "COVID-5000 (test)" in done.stdout


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], "data_dir"),
        (["--data_dir=nowhere"], "There is no nowhere/covid19_radiography/224x224/VERSION"),
        (["--data_dir=nowhere", "stray"], "unexpected argument 'stray'"),
        (["--data_dir=nowhere", "--colour=red"], "colour"),
    ],
)
def test_wrong_flags_end_with_one_sentence(flags, reason):
    done = command(*flags)
    assert done.code == 2
    assert "Traceback" not in done.stderr and not done.stdout
    assert done.stderr.splitlines()[-1].startswith("cxr_tfds.audit: ") or reason in done.stderr
    assert reason in done.stderr


def test_a_damaged_table_ends_with_one_sentence(tmp_path):
    folder = write(tmp_path, [])
    for content in ("", "id,label\n", "id,label,source,split,group,sha256\n"):
        (folder / "splits.csv").write_text(content)
        done = command(f"--data_dir={tmp_path}")
        assert done.code == 2
        assert "Traceback" not in done.stderr
        assert "Build the dataset again" in done.stderr


@pytest.mark.parametrize("name", ["d [1] *?", "d\xe4ta", "d\udcffta"])
@pytest.mark.parametrize("environment", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_any_name_of_the_folder_will_do(tmp_path, name, environment):
    write(tmp_path / name, made_up_rows())
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "cxr_tfds.audit", f"--data_dir={tmp_path / name}"],
        env=os.environ | environment,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{len(made_up_rows())} radiographs".encode() in done.stdout


def test_a_reader_that_leaves_is_no_error(tmp_path):
    write(tmp_path, made_up_rows())
    read, written = os.pipe()
    os.close(read)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "cxr_tfds.audit", f"--data_dir={tmp_path}"],
        stdout=written,
        stderr=subprocess.PIPE,
    )
    os.close(written)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_output_that_is_full_is_one_sentence(tmp_path):
    write(tmp_path, made_up_rows())
    with open("/dev/full", "w") as full:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "cxr_tfds.audit", f"--data_dir={tmp_path}"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    words = "cxr_tfds.audit: cannot write the output (No space left on device).\n"
    assert (done.returncode, done.stderr) == (2, words)
