"""The exit codes of all commands, each with its meaning, which the documentation shows."""

import enum
import signal


class ExitCode(enum.IntEnum):
    """How a command ended.

    Attributes:
        meaning: what it tells the user, in Markdown.
    """

    meaning: str

    DONE = 0, "done"
    # Python's own code for an error, too.
    FOUND = (
        1,
        "`cxr_tfds.audit` found copies of a radiograph in two splits; or an error that this "
        "project does not expect, with a stack trace",
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
    # As a shell gives them for a process that a signal ended.
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
        """Makes a member that is its code, as an integer."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


# A restart would end the same way.
FINAL = (ExitCode.DONE, ExitCode.MISTAKE, ExitCode.DIVERGED)
# Somebody asked for it.
STOPPED = (ExitCode.PREEMPTED, ExitCode.TERMINATED)
