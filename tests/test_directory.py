import errno

import pytest

from trainer.directory import make_writable, writing_to
from trainer.errors import UserError


def test_a_directory_for_results_is_made_with_its_parents_and_left_empty(tmp_path):
    directory = make_writable(tmp_path / "a" / "b", "output_dir")
    assert directory.is_dir()
    assert list(directory.iterdir()) == []
    assert make_writable(directory, "output_dir") == directory


def test_a_place_that_cannot_be_a_directory_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=f"{file / 'report'} cannot be written to"):
        make_writable(file / "report", "output_dir")


def test_a_failure_to_write_becomes_a_sentence(tmp_path):
    with pytest.raises(UserError, match="written .No space left on device.; make room"):
        with writing_to(tmp_path):
            raise OSError(errno.ENOSPC, "No space left on device")
