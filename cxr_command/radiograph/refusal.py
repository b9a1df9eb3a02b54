"""The exception for a file that is not a radiograph."""


class NotARadiograph(Exception):
    """A file was read but is not a radiograph.

    The message is a clause that says why and what to do, to be appended to the file's name and a
    colon.
    """
