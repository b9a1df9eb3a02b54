"""Commands of a few lines, each in a process of its own: how they start and end."""

import os
import re
import signal
import subprocess
import sys

import pytest

from cxr_command.exit_codes import ExitCode
from tests.conftest import ROOT

# A job goes on without a reader, as commands of trainer and launch do; others do not.
JOB = "label='error', errors=(KeyError,), is_job=True"


def start(folder, work, options="", arguments=(), **streams):
    """Starts a command `small` that does some work."""
    (folder / "small.py").write_text(
        "import contextlib, os, signal, sys\n"
        # A shell has it ignored in what it starts in the background, these tests for example.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from absl import flags, logging\n"
        "from cxr_command.runner import Command\n"
        "def _main(*words):\n"
        "    print('begun', flush=True)\n"
        f"    {work}\n"
        "def _define_flags():\n"
        "    flags.DEFINE_integer('count', 1, 'How many.')\n"
        f"Command(_main, _define_flags, {options}).run()\n"
    )
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "small", *arguments],
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | streams,
    )


def ended(*what, **streams):
    """How it ends: exit code, stdout, stderr."""
    process = start(*what, **streams)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def test_a_command_that_is_done_has_said_what_it_printed(tmp_path):
    work = "print(flags.FLAGS.count, 'tensorflow' in sys.modules)"
    assert ended(tmp_path, work, "", ["--count=3"]) == (ExitCode.DONE, "begun\n3 False\n", "")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--count=two"], "--count=two: expected a whole number; see --help"),
        (["--cuont=2"], "unknown flag --cuont (did you mean --count?); see --help"),
        (["two"], "unexpected argument 'two'; every option is a --flag; see --help"),
    ],
)
@pytest.mark.parametrize("options, label", [("", "small"), (JOB, "error")])
def test_a_wrong_flag_is_one_sentence(arguments, sentence, options, label, tmp_path):
    told = (ExitCode.MISTAKE, "", f"{label}: {sentence}\n")
    assert ended(tmp_path, "pass", options, arguments) == told


MISTAKES = [
    ("raise ValueError('no\\nimage')", "", ExitCode.MISTAKE, "small: no\\nimage"),
    ("raise OSError('no image')", "", ExitCode.MISTAKE, "small: no image"),
    ("open('no/f')", "", ExitCode.MISTAKE, "small: no/f cannot be used (No such file or directory"),
    ("open('no/f')", JOB, ExitCode.MISTAKE, "error: no/f cannot be used (No such file or directo"),
    ("raise KeyError('image')", JOB, ExitCode.MISTAKE, "error: 'image'"),
    ("os.kill(os.getpid(), signal.SIGINT)", "", ExitCode.INTERRUPTED, "\ninterrupted"),
    ("os.kill(os.getpid(), signal.SIGINT)", JOB, ExitCode.INTERRUPTED, "\ninterrupted"),
    ("os.kill(os.getpid(), signal.SIGTERM)", "", ExitCode.TERMINATED, "stopped: by SIGTERM;"),
    ("os.kill(os.getpid(), signal.SIGHUP)", "", ExitCode.TERMINATED, "stopped: by SIGHUP;"),
    ("os.kill(os.getpid(), signal.SIGTERM)", JOB, -signal.SIGTERM, ""),
]


@pytest.mark.parametrize("work, options, code, said", MISTAKES)
def test_what_ends_a_command_is_told_without_a_stack_trace(work, options, code, said, tmp_path):
    got, stdout, stderr = ended(tmp_path, work, options)
    assert (got, stdout) == (code, "begun\n")
    assert stderr.startswith(said)
    assert "Traceback" not in stderr


@pytest.mark.parametrize("error", ["ValueError", "OSError"])
def test_what_a_package_does_not_name_is_the_codes_mistake(error, tmp_path):
    code, _, stderr = ended(tmp_path, f"raise {error}('a bug')", JOB)
    assert code == 1
    assert "Traceback" in stderr and stderr.endswith(f"\n{error}: a bug\n")


def test_contexts_are_closed_on_the_way_out(tmp_path):
    work = (
        "with contextlib.closing(open('file', 'w')) as file, contextlib.ExitStack() as stack:"
        " stack.callback(os.remove, 'file'); os.kill(os.getpid(), signal.SIGTERM); input()"
    )
    code, _, _ = ended(tmp_path, work, cwd=tmp_path)
    assert code == ExitCode.TERMINATED
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("options, code", [("", ExitCode.READER_LEFT), (JOB, ExitCode.DONE)])
def test_a_job_goes_on_without_a_reader(options, code, tmp_path):
    work = "sys.stdin.readline(); print('an end'); print('done', file=sys.stderr)"
    with start(tmp_path, work, options, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "begun\n"
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stderr.read() == ("done\n" if code == ExitCode.DONE else "")
        assert process.wait(60) == code


@pytest.mark.parametrize("options, label", [("", "small"), (JOB, "error")])
def test_results_that_find_no_room_are_told(options, label, tmp_path):
    with open("/dev/full", "w") as full:
        code, _, stderr = ended(tmp_path, "pass", options, stdout=full)
    sentence = f"{label}: cannot write the output (No space left on device).\n"
    assert (code, stderr) == (ExitCode.MISTAKE, sentence)


def test_another_command_is_handed_over_as_it_stands(tmp_path):
    work, options = "print(*words)", "starts_another=True"
    code, stdout, _ = ended(tmp_path, work, options, ["--count=2", "--", "ls", "--count=3"])
    assert (code, stdout) == (ExitCode.DONE, "begun\n['ls', '--count=3']\n")
    code, _, stderr = ended(tmp_path, work, options, ["ls"])
    assert (code, stderr) == (
        ExitCode.MISTAKE,
        "small: expected a command after --; see --help\n",
    )


def test_the_log_shows_errors_of_others_on_one_line(tmp_path):
    work = "logging.info('hidden'); logging.error('a\\nname')"
    code, _, stderr = ended(tmp_path, work)
    assert code == ExitCode.DONE
    assert re.fullmatch(r"\d\d:\d\d:\d\d a\\nname\n", stderr)
