"""The exit codes of all commands; docs/training.md tells them at length."""

import enum
import signal


class ExitCode(enum.IntEnum):
    """How a command ended."""

    DONE = 0
    FOUND = 1  # cxr_tfds.audit found what must not be; Python's own code for an error, too.
    MISTAKE = 2  # The user's, or the machine's: a full disk.
    DIVERGED = 3  # The loss is not finite.
    PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: a checkpoint was made, the same command goes on.
    WORKER_LOST = 76  # EX_PROTOCOL: another worker is gone, or a port is taken.
    # As a shell gives them for a process that a signal ended.
    INTERRUPTED = 128 + signal.SIGINT
    READER_LEFT = 128 + signal.SIGPIPE
    TERMINATED = 128 + signal.SIGTERM  # And for SIGHUP.


# A restart would end the same way.
FINAL = (ExitCode.DONE, ExitCode.MISTAKE, ExitCode.DIVERGED)
# Somebody asked for it.
STOPPED = (ExitCode.PREEMPTED, ExitCode.TERMINATED)
