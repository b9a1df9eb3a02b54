import pytest
from etils import epath

from cxr_command import split_table
from cxr_command.split_table import Row
from cxr_tfds import dataset_flags

ROWS = [
    Row("COVID-1", "COVID", "sirm", "train", "COVID-1", "a" * 64),
    Row("Viral Pneumonia-2", "Viral Pneumonia", "kermany", "test", "COVID-1", "b" * 64),
]
HEADER = ",".join(Row._fields)


def test_what_was_written_is_read(tmp_path):
    split_table.write(epath.Path(tmp_path), ROWS)
    assert split_table.read(tmp_path) == ROWS
    lines = (tmp_path / "splits.csv").read_bytes().split(b"\n")
    assert lines[0] == b"id,label,source,split,group,sha256"
    assert lines[2] == b"Viral Pneumonia-2,Viral Pneumonia,kermany,test,COVID-1," + b"b" * 64


def test_the_newest_version_is_found(tmp_path):
    for version in ("1.9.0", "1.10.0", "1.2.0", "2.0.0.incompleteABC"):
        folder = epath.Path(tmp_path) / "covid19_radiography" / "full" / version
        folder.mkdir(parents=True)
        split_table.write(folder, ROWS)
    assert dataset_flags.find_folder(tmp_path, "full").name == "1.10.0"


def test_pattern_letters_are_letters_of_a_folders_name(tmp_path):
    folder = epath.Path(tmp_path) / "d [1] *?" / "covid19_radiography" / "full" / "1.0.0"
    folder.mkdir(parents=True)
    split_table.write(folder, ROWS)
    (tmp_path / "d 1 xy" / "covid19_radiography" / "full" / "2.0.0").mkdir(parents=True)
    assert dataset_flags.find_folder(tmp_path / "d [1] *?", "full") == folder
    with pytest.raises(FileNotFoundError):
        dataset_flags.find_folder(tmp_path / "d*", "full")
    with pytest.raises(FileNotFoundError):
        dataset_flags.find_folder(tmp_path / "d [1] *?", "f*")


@pytest.mark.parametrize("content", [b"id,\xff\xfe\n", HEADER.encode() + b"\n" + b"x" * 200_000])
def test_a_table_that_is_no_text_or_has_an_endless_field_is_refused(tmp_path, content):
    (tmp_path / "splits.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"splits.csv is damaged \(.*Build the dataset again"):
        split_table.read(tmp_path)


def test_a_dataset_that_was_not_built_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="full/VERSION/splits.csv"):
        dataset_flags.find_folder(tmp_path, "full")
    with pytest.raises(FileNotFoundError, match="tfds build"):
        split_table.read(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "id,label\nCOVID-1,COVID\n", f"{HEADER}\n", f"{HEADER}\nCOVID-1,COV"]
)
def test_a_table_with_other_columns_is_refused(tmp_path, content):
    (tmp_path / "splits.csv").write_text(content)
    with pytest.raises(ValueError, match="expected whole rows with the columns"):
        split_table.read(tmp_path)
