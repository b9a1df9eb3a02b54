import shutil

from cxr_tfds import phantom
from tests.conftest import ROOT
from tests.support.forked_commands import bare_machine


def command(manual_dir):
    return bare_machine().run("cxr_tfds.near_duplicates", [f"--manual_dir={manual_dir}"], ROOT)


def test_it_prints_the_pairs_and_how_many_bits_apart_they_are(tmp_path):
    images = phantom.write_database(tmp_path, 2) / "COVID" / "images"
    shutil.copy(images / "COVID-1.png", images / "COVID-2.png")
    done = command(tmp_path)
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["0", "COVID-1", "COVID-2"]
    assert ["0", "1"] in [line.split() for line in lines]
    assert "8 radiographs; threshold 256 bits" in done.stdout


def test_a_folder_without_the_database_ends_with_one_sentence(tmp_path):
    done = command(tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.stderr
    assert "There is no folder" in done.stderr


def test_bad_files_end_with_their_list(tmp_path):
    images = phantom.write_database(tmp_path, 2) / "COVID" / "images"
    (images / "COVID-1.png").write_bytes(b"")
    done = command(tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.stderr
    assert "zero bytes (1)" in done.stderr
