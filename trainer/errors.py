"""The errors that end a command early, each with an exit code."""

from cxr_command.exit_codes import ExitCode


class UserError(Exception):
    """A user's mistake. The message says what was found and what to do."""

    exit_code = ExitCode.MISTAKE


class Damaged(UserError):
    """A file is missing, or its content is not what was written to it."""


class Unreadable(UserError):
    """A file could not be read but may be intact; it must not be treated as damaged."""


class Diverged(UserError):
    """The loss of a training is not finite. The message says where, and what may help."""

    exit_code = ExitCode.DIVERGED


class Preempted(Exception):
    """A training was asked to stop and can be resumed. The message says how far it got."""

    exit_code = ExitCode.PREEMPTED


class WorkerLost(Exception):
    """The workers cannot train together: one is lost or a port is in use. The message names it."""

    exit_code = ExitCode.WORKER_LOST
    # TensorFlow's own shutdown would wait for the lost worker.
    ends_at_once = True
