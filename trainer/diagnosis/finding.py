"""One thing that was looked at, what was found, and what to do about it."""

import dataclasses
import enum


class Verdict(enum.StrEnum):
    """How a finding bears on a training."""

    OK = "ok"
    NOTE = "note"
    FAULT = "FAULT"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A row of the doctor's table.

    Attributes:
        subject: what was looked at.
        verdict: a `FAULT` keeps a GPU training from working; a `NOTE` slows or limits it.
        found: what was found, and what was expected where that differs.
        remedy: what to do; empty where there is nothing to do.
    """

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """The finding as one line of a log or of an error."""
        return f"{self.subject}: {self.found}" + (f"; {self.remedy}" if self.remedy else "")


def ok(subject: str, found: str) -> Finding:
    """Nothing is to be done."""
    return Finding(subject, Verdict.OK, found)


def note(subject: str, found: str, remedy: str = "") -> Finding:
    """Training works, but slower or not everywhere."""
    return Finding(subject, Verdict.NOTE, found, remedy)


def fault(subject: str, found: str, remedy: str) -> Finding:
    """A GPU training would fail."""
    return Finding(subject, Verdict.FAULT, found, remedy)
