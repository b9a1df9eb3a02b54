"""What is raised for a file that is no radiograph."""


class NotARadiograph(Exception):
    """A file was read, and is no radiograph that can be shown.

    Its text is a clause that says why and what to do, to stand behind the file's name and a colon.
    """
