"""TensorFlow's import says nothing that a user need not read, and hides nothing else."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# What stands in for TensorFlow, and writes as its C++ code does.
STUB = r"""
import os
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written\n")
os.write(2, b"I0000 00:00:1.5 1 port.cc:153] all is well\n")
os.write(2, b"W0000 00:00:1.5 1 dso.cc:1] cannot load a library\n")
os.write(2, b"some other line\n")
"""


def import_tensorflow(program, path):
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("package", ["trainer", "cxr_tfds"])
def test_the_real_import_says_nothing(package, tmp_path):
    done = import_tensorflow(f"import {package}, tensorflow; print(tensorflow.add(1, 2))", tmp_path)
    assert "tf.Tensor(3" in done.stdout
    assert "port.cc" not in done.stderr
    assert "InitializeLog" not in done.stderr


def test_warnings_and_what_else_is_written_still_show(tmp_path):
    (tmp_path / "tensorflow.py").write_text(STUB)
    program = "import trainer, tensorflow, os; os.write(2, b'I0000 later\\n')"
    done = import_tensorflow(program, tmp_path)
    assert done.stderr.splitlines() == [
        "W0000 00:00:1.5 1 dso.cc:1] cannot load a library",
        "some other line",
        "I0000 later",
    ]


def test_an_import_that_fails_hides_nothing(tmp_path):
    (tmp_path / "tensorflow.py").write_text(STUB + "raise ImportError('no such library')\n")
    done = import_tensorflow("import trainer, tensorflow", tmp_path)
    assert done.returncode == 1
    assert "port.cc:153] all is well" in done.stderr
    assert done.stderr.rstrip().endswith("ImportError: no such library")


def test_a_closed_stderr_is_no_obstacle(tmp_path):
    (tmp_path / "tensorflow.py").write_text("")
    program = "import trainer, tensorflow; print('imported')"
    done = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout == "imported\n"
