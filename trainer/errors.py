"""The ways in which a command ends before its work is done, each with an exit code."""

from cxr_command.exit_codes import ExitCode


class UserError(Exception):
    """A user's mistake. Its text says in one sentence what was found and what to do."""

    exit_code = ExitCode.MISTAKE


class Damaged(UserError):
    """A file was read and does not hold what was written to it, or is missing."""


class Unreadable(UserError):
    """A file could not be read and may be whole: nothing may be done as if it were damaged."""


class Diverged(UserError):
    """A training whose loss is not finite. Its text says where, and what may help."""

    exit_code = ExitCode.DIVERGED


class Preempted(Exception):
    """A training that was asked to stop, and can go on. Its text says where it stands."""

    exit_code = ExitCode.PREEMPTED


class WorkerLost(Exception):
    """The workers cannot train together: one is gone, or a port is taken. Its text says which."""

    exit_code = ExitCode.WORKER_LOST
    # TensorFlow's own ending would wait for the lost worker.
    ends_at_once = True
