"""What XLA compiled is used again, and nothing that was changed or not finished."""

import os

import pytest

from tests.conftest import run_command
from trainer import compile_cache
from trainer.compile_cache import CompileCache
from trainer.errors import UserError

# Prints what is computed and how often XLA compiled.
PROGRAM = """
import sys
from trainer.compile_cache import CompileCache
cache = CompileCache(sys.argv[1])
cache.use()
import tensorflow as tf

@tf.function(jit_compile=True)
def double(x):
    return tf.matmul(x, 2 * tf.eye(3))

print("value", float(tf.reduce_sum(double(tf.ones([3, 3])))))
if "seal" in sys.argv:
    cache.seal()
"""


def run(directory, *words):
    assert "value 18.0" in run_command("-c", PROGRAM, str(directory), *words)
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*.pb")}


def test_an_executable_with_its_digest_is_kept_and_another_is_made_anew(tmp_path):
    first = run(tmp_path, "seal")
    assert len(first) == 1
    assert run(tmp_path) == first
    (path,) = first
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    again = run(tmp_path)
    assert again.keys() == first.keys()
    assert again != first
    assert path.read_bytes() != damaged
    # It was not sealed: a process that was killed while it wrote cannot be told from this one.
    assert run(tmp_path, "seal") != again


def test_a_folder_that_others_can_write_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    cache = CompileCache(str(tmp_path))
    cache.folder.mkdir(mode=0o755)
    for folder in (tmp_path, cache.folder):
        before = folder.stat().st_mode
        folder.chmod(0o777)
        with pytest.raises(UserError, match="others can write"):
            cache.use()
        folder.chmod(before)
    assert "TF_XLA_FLAGS" not in os.environ


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--compile_cache_dir: .* cannot be made"):
        CompileCache(str(tmp_path / "file")).use()


def test_one_that_was_not_asked_for_is_done_without(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    monkeypatch.setattr(compile_cache, "_NVIDIA", tmp_path)  # As if there were a GPU.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "file"))
    CompileCache().use()
    assert "compile cache: off, because" in caplog.text
    assert "TF_XLA_FLAGS" not in os.environ


def test_what_this_process_did_not_make_gets_no_digest(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    cache = CompileCache(str(tmp_path))
    cache.folder.mkdir()
    (cache.folder / "left.pb").write_bytes(b"by a process that was killed")
    cache.seal()
    assert [path.name for path in cache.folder.iterdir()] == ["left.pb"]
    cache.use()
    assert not list(cache.folder.iterdir())


def test_flags_of_the_users_own_stand(tmp_path, monkeypatch):
    own = "--tf_xla_persistent_cache_directory=/elsewhere"
    monkeypatch.setenv("TF_XLA_FLAGS", own)
    CompileCache(str(tmp_path)).use()
    assert os.environ["TF_XLA_FLAGS"] == own
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_min_cluster_size=7")
    cache = CompileCache(str(tmp_path))
    cache.use()
    assert os.environ["TF_XLA_FLAGS"] == (
        f"--tf_xla_min_cluster_size=7 --tf_xla_persistent_cache_directory={cache.folder}"
    )
