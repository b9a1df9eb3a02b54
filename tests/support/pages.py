"""The pages of the documentation and their commands.

A block of commands is a fenced code block in `sh`. A comment before it, such as
`<!-- needs: a GPU -->` or `<!-- run by: make -->`, says why the tests do not run it.
"""

import dataclasses
import pathlib
import re
import shlex

from markdown_it import MarkdownIt

from docs.outside_pages import OUTSIDE

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted({*(ROOT / "docs").rglob("*.md"), *(ROOT / page for page in OUTSIDE)})
_PARSER = MarkdownIt("commonmark").enable("table")
_MARK = re.compile(r"<!-- (?:needs|run by): .+ -->")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of shell commands.

    Attributes:
        text: content of the block.
        is_marked: whether a comment explains why it is not run.
    """

    text: str
    is_marked: bool

    def lines(self):
        """Returns its lines as lists of words."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]

    def commands(self):
        """Returns its commands as lists of words, each followed by the commands it starts."""
        for words in self.lines():
            while "--" in words:
                yield words[: words.index("--")]
                words = words[words.index("--") + 1 :]
            if words:
                yield words


def name_of(page):
    """Returns a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page):
    """Returns a page's blocks of shell commands, in order."""
    tokens = _PARSER.parse(page.read_text())
    before = [None, *tokens]
    return [
        Block(token.content, bool(last and _MARK.fullmatch(last.content.strip())))
        for last, token in zip(before, tokens, strict=False)
        if token.type == "fence" and token.info == "sh"
    ]


def other_code_of(page, language=None):
    """Returns the content of a page's other code blocks, in all languages or one."""
    return [
        token.content
        for token in _PARSER.parse(page.read_text())
        if token.type in ("fence", "code_block")
        and token.info != "sh"
        and language in (None, token.info)
    ]


def inline_code_of(page):
    """Returns the inline code of a page."""
    return [
        child.content
        for token in _PARSER.parse(page.read_text())
        for child in token.children or ()
        if child.type == "code_inline"
    ]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        text: lines of the table.
        below: lines from its end to the next table or heading.
    """

    text: list[str]
    below: list[str]

    def rows(self):
        """Returns the cells of its rows, without the header."""
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in self.text[2:]]


def tables_of(page):
    """Returns a page's tables, in order."""
    text = page.read_text()
    lines = text.splitlines()
    parts = [one for one in _PARSER.parse(text) if one.type in ("table_open", "heading_open")]
    ends = [*(one.map[0] for one in parts[1:]), len(lines)]
    return [
        Table(lines[slice(*part.map)], lines[part.map[1] : end])
        for part, end in zip(parts, ends, strict=True)
        if part.type == "table_open"
    ]


def links_of(page):
    """Returns a page's relative links and images, without anchors."""
    attributes = [
        child.attrs.get("href") or child.attrs.get("src")
        for token in _PARSER.parse(page.read_text())
        for child in token.children or ()
        if child.type in ("link_open", "image")
    ]
    targets = [link.partition("#")[0] for link in attributes if not re.match(r"\w+:", link)]
    return [target for target in targets if target]
