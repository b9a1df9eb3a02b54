"""What is said of a flag that is missing, or has a value that cannot be."""

import re

from absl import flags


def in_words(error: flags.Error) -> str:
    """What absl says of a flag; where it says so in Python's words, in those of a person.

    Returns:
        A clause without a full stop.
    """
    text = str(error).rstrip(".")
    if missing := re.search(r"Flag (--\w+) must have a value other than None", text):
        return f"{missing[1]} is missing"
    text = re.sub(r"invalid literal for int\(\).*", "expected a whole number", text)
    return re.sub(r"could not convert string to float.*", "expected a number", text)
