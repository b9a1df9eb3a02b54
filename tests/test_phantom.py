"""The phantom's promises: layout, determinism, and findings that are where they are said to be."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import openpyxl
import pytest
from PIL import Image
from scipy import ndimage, stats

from cxr_tfds import anatomy, phantom
from tests.conftest import ROOT
from tests.support.forked_commands import bare_machine

NUMBERS = range(1, 13)
SICK = [label for label in phantom.CLASSES if label != "Normal"]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return phantom.write_database(tmp_path_factory.mktemp("phantom"), 9, seed=3)


@pytest.fixture(scope="module")
def drawings():
    return {label: [phantom.draw(label, number) for number in NUMBERS] for label in phantom.CLASSES}


def _hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _pixels(path):
    with Image.open(path) as image:
        return image.mode, np.asarray(image)


def test_layout_is_the_original_databases_plus_findings(database):
    expected = {"README.md.txt"} | {f"{label}.metadata.xlsx" for label in phantom.CLASSES}
    for label in phantom.CLASSES:
        for kind in ("images", "masks", "findings"):
            expected |= {f"{label}/{kind}/{label}-{n}.png" for n in range(1, 10)}
    assert database.name == "COVID-19_Radiography_Dataset"
    assert set(_hashes(database)) == expected
    assert os.listdir(database.parent) == [database.name]


def test_images_are_gray_or_now_and_then_rgb_in_viral_pneumonia(database):
    modes = {}
    for path in database.glob("*/images/*.png"):
        mode, pixels = _pixels(path)
        assert pixels.shape[:2] == (299, 299) and pixels.dtype == np.uint8
        if mode == "RGB":
            assert (pixels == pixels[:, :, :1]).all()
        modes.setdefault(path.parts[-3], []).append(mode)
    assert all(set(modes[label]) == {"L"} for label in phantom.CLASSES[:3])
    assert sorted(modes["Viral Pneumonia"]) == ["L"] * 7 + ["RGB"] * 2
    share = np.mean([phantom.draw("Viral Pneumonia", n).rgb for n in range(1, 17)])
    assert share == 1 / 8


def test_masks_and_findings_are_binary(database):
    for kind, mode, shape in (("masks", "RGB", (256, 256, 3)), ("findings", "L", (299, 299))):
        for path in database.glob(f"*/{kind}/*.png"):
            found, pixels = _pixels(path)
            assert (found, pixels.shape) == (mode, shape)
            assert set(np.unique(pixels)) <= {0, 255}


def test_files_hold_what_draw_returns(database):
    for label in phantom.CLASSES:
        drawn = phantom.draw(label, 5, seed=3)
        name = f"{label}-5.png"
        np.testing.assert_array_equal(_pixels(database / label / "images" / name)[1], drawn.image)
        mask = _pixels(database / label / "masks" / name)[1]
        np.testing.assert_array_equal(mask > 0, np.stack([drawn.lungs] * 3, -1))
        finding = _pixels(database / label / "findings" / name)[1]
        np.testing.assert_array_equal(finding > 0, drawn.finding)


def test_same_seed_gives_the_same_bytes(database, tmp_path):
    assert _hashes(phantom.write_database(tmp_path, 9, seed=3)) == _hashes(database)


def test_bytes_do_not_depend_on_the_number_of_images_or_processes(database, tmp_path, monkeypatch):
    monkeypatch.setattr(phantom, "_processors", lambda: 1)
    few = _hashes(phantom.write_database(tmp_path, 3, seed=3))
    many = _hashes(database)
    drawn = [name for name in few if name.endswith(".png")]
    assert len(drawn) == 4 * 3 * 3
    assert all(few[name] == many[name] for name in drawn)


def test_every_image_of_every_seed_is_another(database, tmp_path):
    other = _hashes(phantom.write_database(tmp_path, 2, seed=4))
    images = [digest for name, digest in other.items() if "/images/" in name]
    images += [digest for name, digest in _hashes(database).items() if "/images/" in name]
    assert len(set(images)) == len(images) == 4 * 2 + 4 * 9


def test_lungs_are_two_and_of_human_proportions(drawings):
    for drawn in sum(drawings.values(), []):
        lungs, count = ndimage.label(drawn.lungs)
        assert count == 2
        left, right = ndimage.center_of_mass(drawn.lungs, lungs, [1, 2])
        assert abs(left[1] - right[1]) > 60
        assert 0.12 < drawn.lungs.mean() < 0.4


def test_lungs_are_darker_than_what_surrounds_them(drawings):
    for drawn in drawings["Normal"]:
        lungs = _on_film(drawn.lungs)
        around = ndimage.binary_dilation(lungs, iterations=20) & ~lungs
        assert drawn.image[lungs].mean() < drawn.image[around].mean() - 15


def _on_film(lungs):
    return np.asarray(Image.fromarray(lungs).resize((299, 299), Image.Resampling.NEAREST))


def _lungs_touched(drawn):
    """The numbers of the lungs in which the finding lies."""
    lungs, _ = ndimage.label(_on_film(drawn.lungs))
    return set(np.unique(lungs[drawn.finding])) - {0}


def test_findings_lie_in_the_lungs(drawings):
    for label in SICK:
        for drawn in drawings[label]:
            assert drawn.finding.sum() > 300
            # Two nearest-neighbour enlargements may differ by a pixel where a centre is a tie.
            lungs = ndimage.binary_dilation(_on_film(drawn.lungs))
            assert not (drawn.finding & ~lungs).any()


def test_normal_has_no_finding(drawings):
    assert not any(drawn.finding.any() for drawn in drawings["Normal"])


@pytest.mark.parametrize("label", ["COVID", "Viral Pneumonia"])
def test_finding_is_bilateral(drawings, label):
    assert all(_lungs_touched(drawn) == {1, 2} for drawn in drawings[label])


def test_lung_opacity_is_one_focus(drawings):
    for drawn in drawings["Lung_Opacity"]:
        assert len(_lungs_touched(drawn)) == 1
        assert ndimage.label(drawn.finding)[1] == 1


def _distance_to_midline(drawn):
    columns = np.nonzero(drawn.finding)[1]
    within = np.nonzero(_on_film(drawn.lungs))[1]
    return np.abs(columns - (within.min() + within.max()) / 2).mean()


def test_covid_is_peripheral_and_viral_pneumonia_central(drawings):
    covid, viral = (
        np.mean([_distance_to_midline(drawn) for drawn in drawings[label]])
        for label in ("COVID", "Viral Pneumonia")
    )
    assert covid > viral + 10


@pytest.mark.parametrize("label", SICK)
def test_finding_brightens_its_own_pixels_and_no_others(drawings, label, monkeypatch):
    monkeypatch.setitem(anatomy.FINDINGS, label, anatomy.FINDINGS["Normal"])
    for number, drawn in zip(NUMBERS, drawings[label], strict=True):
        healthy = phantom.draw(label, number)
        difference = drawn.image.astype(int) - healthy.image
        assert not difference[~drawn.finding].any()
        assert (difference[drawn.finding] > 0).mean() > 0.8
        np.testing.assert_array_equal(drawn.lungs, healthy.lungs)


def test_outside_the_lungs_the_classes_are_alike():
    values = {
        label: np.array([_surroundings(phantom.draw(label, n, seed=1)) for n in range(1, 61)])
        for label in phantom.CLASSES
    }
    for columns in zip(*(table.T for table in values.values()), strict=True):
        assert stats.kruskal(*columns).pvalue > 0.001


def _surroundings(drawn):
    outside = drawn.image[~_on_film(drawn.lungs)]
    return outside.mean(), outside.std(), outside.max(), drawn.lungs.sum()


def test_workbooks_keep_the_originals_quirks(database):
    for label in phantom.CLASSES:
        book = openpyxl.load_workbook(database / f"{label}.metadata.xlsx")
        assert book.sheetnames == ["Sheet1"]
        header, *rows = book["Sheet1"].iter_rows(values_only=True)
        assert header == ("FILE NAME", "FORMAT", "SIZE", "URL")
        name = "NORMAL" if label == "Normal" else label
        assert [row[0] for row in rows] == [f"{name}-{n}" for n in range(1, 10)]
        assert {row[1:3] for row in rows} == {("PNG", "256*256")}


def test_sources_come_in_the_originals_proportions():
    urls = [phantom._source("COVID", number) for number in range(1, 3617)]
    counts = [urls.count(url) for url in phantom._SOURCES["COVID"]]
    np.testing.assert_allclose(counts, [119, 2474, 400, 258, 183, 182], atol=4)
    assert {phantom._source("Viral Pneumonia", n) for n in range(1, 50)} == {
        "https://www.kaggle.com/paultimothymooney/chest-xray-pneumonia"
    }


def test_readme_says_that_no_patient_is_shown(database):
    assert "SYNTHETIC" in (database / "README.md.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [0, -1, True, 2.0, "3"])
def test_wrong_counts_are_refused(tmp_path, count):
    with pytest.raises((TypeError, ValueError), match="images_per_class"):
        phantom.write_database(tmp_path, count)
    assert not list(tmp_path.iterdir())


def test_unknown_class_is_refused():
    with pytest.raises(ValueError, match="Flu"):
        phantom.draw("Flu", 1)


def test_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(phantom, "_write_phantom", fail)
    with pytest.raises(OSError, match="No space"):
        phantom.write_database(tmp_path, 40)
    assert not list(tmp_path.iterdir())


def _command(*arguments):
    return bare_machine().run("cxr_tfds.phantom", list(map(str, arguments)), ROOT)


def test_command_reports_what_it_wrote_and_refuses_to_write_it_again(tmp_path):
    arguments = f"--output_dir={tmp_path}", "--images_per_class=2"
    first = _command(*arguments)
    assert first.code == 0, first.stderr
    assert "8 images" in first.stdout and str(tmp_path / phantom.DATABASE) in first.stdout
    before = _hashes(tmp_path)
    _assert_refused(_command(*arguments), "already exists")
    assert _hashes(tmp_path) == before


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--images_per_class=0", "images_per_class"),
        ("--images_per_class=many", "images_per_class"),
        ("--seed=-1", "seed"),
        ("--sed=1", "sed"),
        ("stray", "stray"),
    ],
)
def test_wrong_flags_exit_with_one_sentence(tmp_path, flag, reason):
    _assert_refused(_command(f"--output_dir={tmp_path}", flag), reason)
    assert not list(tmp_path.iterdir())


def test_output_dir_must_be_given_and_be_a_folder(tmp_path):
    _assert_refused(_command(), "output_dir")
    (tmp_path / "file").touch()
    _assert_refused(_command(f"--output_dir={tmp_path / 'file'}"), "is a file")
    _assert_refused(_command(f"--output_dir={tmp_path / 'file' / 'below'}"), "cannot write")


def _assert_refused(result, reason):
    assert result.code == 2
    assert "Traceback" not in result.stderr and not result.stdout
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("cxr_tfds.phantom: ") and reason in sentence


@pytest.mark.slow
def test_sigterm_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-m", "cxr_tfds.phantom", f"--output_dir={tmp_path}/out"]
    process = subprocess.Popen(  # noqa: S603
        [*command, "--images_per_class=100000"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("out/.phantom-*/*/*/images/*")):
        assert process.poll() is None, process.stderr.read()
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143
    assert said.endswith("stopped: by SIGTERM; unfinished output was removed\n")
    assert list(tmp_path.glob("out/*")) + list(tmp_path.glob("out/.*")) == []


def test_any_name_of_the_folder_will_do_in_any_locale(tmp_path):
    for name in ("d [1] *?", "d\xe4ta", "d\udcffta"):
        command = [sys.executable, "-m", "cxr_tfds.phantom", f"--output_dir={tmp_path / name}"]
        done = subprocess.run(  # noqa: S603
            [*command, "--images_per_class=1"],
            env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"},
            capture_output=True,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(list((tmp_path / name / phantom.DATABASE).glob("*/images/*.png"))) == 4


def test_a_name_without_room_is_one_sentence(tmp_path):
    _assert_refused(_command(f"--output_dir={tmp_path}/{'a' * 300}"), "File name too long")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_killed_command_leaves_no_process_and_the_next_one_clears_away(tmp_path):
    command = [sys.executable, "-m", "cxr_tfds.phantom", f"--output_dir={tmp_path}"]
    process = subprocess.Popen(  # noqa: S603
        [*command, "--images_per_class=100000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob(".phantom-*/*/*/images/*")):
        assert process.poll() is None
    (unfinished,) = tmp_path.glob(".phantom-*")
    process.kill()
    process.communicate(timeout=60)  # Returns once no worker holds the pipe.
    assert unfinished.exists()
    done = _command(f"--output_dir={tmp_path}", "--images_per_class=1")
    assert done.code == 0
    assert f"{unfinished} of process {process.pid} " in done.stderr and "removed" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [phantom.DATABASE]
