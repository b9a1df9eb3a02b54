"""The exit codes of all commands with their meanings, as shown in the documentation."""

import enum
import signal


class ExitCode(enum.IntEnum):
    """How a command ended.

    Attributes:
        meaning: explanation for the user, in Markdown.
    """

    meaning: str

    DONE = 0, "done"
    # Python also uses this code for unhandled exceptions.
    FOUND = (
        1,
        "`cxr_tfds.audit` found copies of a radiograph in two splits, or one of several checks or "
        "benchmarks failed; or an error that this project does not expect, with a stack trace",
    )
    MISTAKE = 2, "a mistake, a full disk or too little memory; one sentence says what to do"
    DIVERGED = (
        3,
        "the loss is not finite; the message names the step, the learning rate and the last good "
        "checkpoint",
    )
    # EX_TEMPFAIL of sysexits.h.
    PREEMPTED = (
        75,
        "stopped by a signal, with a checkpoint (`trainer.predict`: its rows) kept; run the same "
        "command again",
    )
    # EX_PROTOCOL.
    WORKER_LOST = (
        76,
        "another worker or data host is lost, or a port is in use; the message names it. Start the "
        "same command on all workers again",
    )
    # As in a shell, for a process ended by a signal.
    INTERRUPTED = 128 + signal.SIGINT, "Ctrl-C outside of a training, or a second Ctrl-C"
    READER_LEFT = (
        128 + signal.SIGPIPE,
        "nobody reads the output any more, as with `| head`; commands of `trainer` and `launch` "
        "continue instead",
    )
    TERMINATED = (
        128 + signal.SIGTERM,
        "SIGTERM or SIGHUP outside of a training; unfinished results are removed",
    )

    def __new__(cls, code: int, meaning: str) -> "ExitCode":
        """Creates a member whose integer value is its code."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


# A restart would end in the same way.
FINAL = (ExitCode.DONE, ExitCode.MISTAKE, ExitCode.DIVERGED)
# Stopped on request.
STOPPED = (ExitCode.PREEMPTED, ExitCode.TERMINATED)
