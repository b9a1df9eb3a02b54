"""Rendering and writing of pages and cards, and their common content."""

import pathlib

import jinja2
from jinja2.nodes import EvalContext

from trainer import markdown

RESEARCH_USE = "A research tool, not a medical device: not for diagnosis or any clinical decision."


def environment(package: str) -> jinja2.Environment:
    """Creates the Jinja environment of a package's templates; undefined names are errors.

    All values are escaped: for HTML in pages, and for Markdown in all other templates (cards). The
    filter `code` is for values in Markdown code.

    Args:
        package: name of a package with a folder `templates`; its templates may extend those here.

    Returns:
        A new environment.
    """
    new = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package), jinja2.PackageLoader("trainer")]
        ),
        autoescape=jinja2.select_autoescape(["html"]),
        finalize=_escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    new.filters["code"] = markdown.code
    return new


def write(path: pathlib.Path, text: str) -> None:
    """Writes a page or a card in UTF-8, escaping bytes of a path that are not UTF-8."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


@jinja2.pass_eval_context
def _escaped(context: EvalContext, value: object) -> object:
    return value if context.autoescape else markdown.escape(value)
