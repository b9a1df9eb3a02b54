import io
import os
import signal
import warnings
import zipfile

import pytest

from cxr_command.stop_signals import Terminated
from trainer.errors import UserError
from trainer.keras_file import (
    nothing_passed_over,
    private_copy,
    weights_of_archive,
)


def archive(parts):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, part in parts.items():
            file.writestr(name, part)
    return content.getvalue()


def test_the_weights_are_taken_from_the_archive():
    assert weights_of_archive(archive({"a": b"1", "model.weights.h5": b"weights"})) == b"weights"
    with pytest.raises(KeyError, match="model.weights.h5"):
        weights_of_archive(archive({"a": b"1"}))


def test_a_wrong_checksum_of_any_part_is_found():
    content = archive({"metadata.json": b"0123456789", "model.weights.h5": b"weights"})
    content = content.replace(b"0123456789", b"0123456780")
    with pytest.raises(ValueError, match="checksum of its part metadata.json is wrong"):
        weights_of_archive(content)


def test_a_warning_of_keras_ends_the_loading():
    with pytest.raises(UserWarning, match="random"), nothing_passed_over():
        warnings.warn("Affected layers keep random weights", stacklevel=1)


def test_a_copy_is_the_owners_alone_and_gone_at_the_end():
    with private_copy(b"content", "model.keras") as path:
        assert path.read_bytes() == b"content"
        assert path.name == "model.keras"
        assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()


def test_a_copy_is_gone_when_the_command_is_ended():
    with pytest.raises(Terminated), private_copy(b"content", "a") as path:
        os.kill(os.getpid(), signal.SIGTERM)
    assert not path.parent.exists()


def test_a_full_disk_of_temporary_files_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(UserError, match=f"{tmp_path} could not be written .No space left"):
        with private_copy(b"content", "a"):
            pass
    assert list(tmp_path.iterdir()) == []
