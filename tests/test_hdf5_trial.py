import io

import h5py
import numpy as np
import pytest

from trainer import hdf5_trial
from trainer.hdf5_trial import claimed_bytes


def file_of(fill):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def test_all_arrays_are_counted_whether_they_are_stored_or_not():
    def fill(file):
        file["a/b/c"] = np.zeros((3, 5), np.float32)
        file.create_dataset("d", (1000, 1000, 1000), "float64")
        file.create_dataset("e", data=np.zeros(100_000, np.int8), compression="gzip")
        file.attrs["layer_names"] = ["a", "b"]

    content = file_of(fill)
    assert len(content) < 50_000
    assert claimed_bytes(content) == 3 * 5 * 4 + 8 * 1000**3 + 100_000


@pytest.mark.parametrize("content", [b"", b"no HDF5", file_of(lambda file: None)[:100]])
def test_what_is_no_hdf5_file_is_said_in_its_librarys_words(content):
    with pytest.raises(ValueError, match="open"):
        claimed_bytes(content)


def test_a_file_that_the_library_comes_to_no_end_of_is_refused(monkeypatch):
    monkeypatch.setattr(hdf5_trial, "_MOST_SECONDS", 0.001)
    with pytest.raises(ValueError, match="did not come to its end in 0.001 s"):
        claimed_bytes(file_of(lambda file: None))
