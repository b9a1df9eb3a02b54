"""The error that a user of a command can mend."""


class UserError(Exception):
    """A user's mistake. Its text says in one sentence what was found and what to do."""
