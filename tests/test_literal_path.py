import os
import pathlib

import pytest
import tensorflow as tf

from trainer.export.literal_path import literal_path


@pytest.mark.parametrize("name", ["plain", "lr[1]", "*", "a?b", "back\\slash", "é ü", b"no\xff"])
def test_what_is_saved_below_any_directory_is_loaded(name, tmp_path):
    directory = tmp_path / os.fsdecode(name)
    directory.mkdir()
    module = tf.Module()
    module.value = tf.Variable([1.5, 2.5])
    with literal_path(directory) as path:
        tf.saved_model.save(module, path)
    assert (directory / "saved_model.pb").is_file()
    with literal_path(directory) as path:
        loaded = tf.saved_model.load(path)
    assert loaded.value.numpy().tolist() == [1.5, 2.5]


def test_a_path_that_is_literal_stays_and_a_link_is_gone_at_the_end(tmp_path):
    with literal_path(tmp_path) as path:
        assert path == str(tmp_path)
    (tmp_path / "a[1]").mkdir()
    with literal_path(tmp_path / "a[1]") as path:
        assert pathlib.Path(path).resolve() == tmp_path / "a[1]"
    assert not os.path.lexists(path)
    assert (tmp_path / "a[1]").is_dir()


def test_a_relative_path_leads_to_the_same_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("a*").mkdir()
    with literal_path(pathlib.Path("a*")) as path:
        assert os.path.samefile(path, "a*")
