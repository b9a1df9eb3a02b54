"""The result of one check, with a remedy."""

import dataclasses
import enum


class Verdict(enum.StrEnum):
    """Effect of a finding on training."""

    OK = "ok"
    NOTE = "note"
    FAULT = "FAULT"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A row of the doctor's table.

    Attributes:
        subject: what was checked.
        verdict: a `FAULT` prevents training on a GPU; a `NOTE` slows or limits it.
        found: what was found, and what was expected if that differs.
        remedy: what to do; empty if there is nothing to do.
    """

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """Returns the finding as one line of a log or of an error message."""
        return f"{self.subject}: {self.found}" + (f"; {self.remedy}" if self.remedy else "")


def ok(subject: str, found: str) -> Finding:
    """Creates a finding that needs no action."""
    return Finding(subject, Verdict.OK, found)


def note(subject: str, found: str, remedy: str = "") -> Finding:
    """Creates a finding for training that works, but slower or not everywhere."""
    return Finding(subject, Verdict.NOTE, found, remedy)


def fault(subject: str, found: str, remedy: str) -> Finding:
    """Creates a finding for training on a GPU that would fail."""
    return Finding(subject, Verdict.FAULT, found, remedy)
