"""A page's table of contents, generated from its headings."""

import dataclasses
import html
import re

from markupsafe import Markup

_HEADING = re.compile(r"<h([23])>(.*?)</h\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


@dataclasses.dataclass
class Heading:
    """A heading and the headings below it.

    Attributes:
        anchor: the id that links point to.
        title: text of the heading.
        parts: the `<h3>` below an `<h2>`.
    """

    anchor: str
    title: str
    parts: list["Heading"] = dataclasses.field(default_factory=list)


def with_contents(body: Markup) -> tuple[Markup, list[Heading]]:
    """Adds an anchor to every heading.

    Args:
        body: HTML whose first heading is an `<h2>`; only headings without attributes are listed.

    Returns:
        The HTML with anchors, and its `<h2>` headings.
    """
    headings: list[Heading] = []
    taken: set[str] = set()

    def add(match: re.Match[str]) -> str:
        level, inner = match.groups()
        title = html.unescape(_TAG.sub("", inner)).strip()
        words = [title] if level == "2" else [headings[-1].title, title]
        heading = Heading(_anchor(" ".join(words), taken), title)
        (headings if level == "2" else headings[-1].parts).append(heading)
        return f'<h{level} id="{heading.anchor}">{inner}</h{level}>'

    return Markup(_HEADING.sub(add, body)), headings  # noqa: S704 - what was markup stays so.


def _anchor(text: str, taken: set[str]) -> str:
    """Returns a unique id of letters, digits and hyphens."""
    plain = "-".join(re.findall(r"[a-z0-9]+", text.lower())) or "section"
    anchor, number = plain, 1
    while anchor in taken:
        number += 1
        anchor = f"{plain}-{number}"
    taken.add(anchor)
    return anchor
