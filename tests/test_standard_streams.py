"""Each case is a process of its own, whose streams are closed or lose their readers."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

CLOSED = """
import trainer  # Opens what is closed, before anything else is opened.
import os, sys
opened = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
assert opened > 2, opened
print("a word", file=sys.stderr)
print("a word")
os.write(2, b"TensorFlow's")
assert not sys.stderr.isatty() and sys.stdin.read() == ""
child = os.system("echo a word >&2")
os._exit(child)
"""
LEFT = """
import sys, time
from cxr_command import standard_streams
standard_streams.outlive_readers()
print("ready", file=sys.stdout, flush=True)
print("ready", file=sys.stderr, flush=True)
sys.stdin.readline()
for stream in (sys.stdout, sys.stderr):
    for _ in range(3):
        print("a word" * 1000, file=stream, flush=True)
    print("an end", file=stream)
sys.exit(7)
"""


def python(script, *words, **options):
    return subprocess.Popen([sys.executable, "-c", script, *words], cwd=ROOT, **options)  # noqa: S603


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream(closed, tmp_path):
    command = f'exec "$0" -c "$1" "$2" 0</dev/null {closed}'
    file = tmp_path / "checkpoint"
    done = subprocess.run(["sh", "-c", command, sys.executable, CLOSED, str(file)], cwd=ROOT)  # noqa: S603, S607
    assert done.returncode == 0
    assert file.read_bytes() == b""


def test_a_reader_that_leaves_ends_nothing():
    pipe = subprocess.PIPE
    with python(LEFT, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        for stream in (process.stdout, process.stderr):
            assert stream.readline() == b"ready\n"
            stream.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(60) == 7


def test_a_log_on_a_full_disk_ends_nothing_but_lost_results_are_told():
    script = (
        "import sys; from cxr_command import standard_streams;"
        "standard_streams.outlive_readers(); print('word', file=sys.{}, flush=True)"
    )
    with open("/dev/full", "w") as full:
        assert python(script.format("stderr"), stderr=full).wait(60) == 0
        process = python(script.format("stdout"), stdout=full, stderr=subprocess.PIPE)
        assert b"No space left on device: 'standard output'" in process.communicate()[1]
        assert process.returncode == 1  # 120 if Python had tried once more at its end.


def test_every_name_can_be_printed():
    script = (
        "from cxr_command import standard_streams; standard_streams.outlive_readers();"
        "print('l\\xe4uf', chr(0xdcff))"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, env=environment
    )
    assert done.stdout == b"l\\xe4uf \\udcff\n", done.stderr
