"""The ways in which a command ends before its work is done, each with an exit code."""


class UserError(Exception):
    """A user's mistake. Its text says in one sentence what was found and what to do."""

    exit_code = 2


class Damaged(UserError):
    """A file was read and does not hold what was written to it, or is missing."""


class Unreadable(UserError):
    """A file could not be read and may be whole: nothing may be done as if it were damaged."""


class Diverged(UserError):
    """A training whose loss is not finite. Its text says where, and what may help."""

    exit_code = 3
    run_status = "diverged"


class Preempted(Exception):
    """A training that was asked to stop, and can go on. Its text says where it stands."""

    # EX_TEMPFAIL of sysexits.h: try again. Schedulers can be told to requeue on it.
    exit_code = 75
    run_status = "preempted"


class Terminated(BaseException):
    """SIGTERM or SIGHUP while nothing could be kept. No failure that code may handle."""

    # As a shell gives it for a process that SIGTERM ended: 128 + 15. One code for both signals.
    exit_code = 143
    run_status = "preempted"


class WorkerLost(Exception):
    """The workers cannot train together: one is gone, or a port is taken. Its text says which."""

    # EX_PROTOCOL of sysexits.h. The same command on all workers goes on from the last checkpoint.
    exit_code = 76
