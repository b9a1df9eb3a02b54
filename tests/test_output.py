"""What a launcher shows, to somebody and to nobody."""

import os
import subprocess

from launch.output import show


def test_it_is_shown_at_once():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        show("a line\n", stream)
        assert os.read(reader, 100) == b"a line\n"
    os.close(reader)


def test_once_the_reader_has_left_it_goes_on_in_silence():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        os.close(reader)
        for line in range(3):
            show(f"{line}\n" * 100_000, stream)


def test_a_full_disk_is_no_reason_to_end():
    with open("/dev/full", "w") as stream:
        for line in range(3):
            show(f"{line}\n" * 100_000, stream)


def test_a_stream_that_was_closed_before_the_start_is_left_alone():
    show("a line", None)


def test_a_process_without_any_stream_ends_well():
    script = "import sys; from launch.output import say, show; say('a'); show('b', sys.stdout)"
    done = subprocess.run(  # noqa: S602 - the shell closes them.
        f'exec {os.sys.executable} -c "{script}" >&- 2>&-', shell=True
    )
    assert done.returncode == 0
