"""How pages and cards are rendered and written, and what each of them carries."""

import pathlib

import jinja2
from jinja2.nodes import EvalContext

from trainer import markdown

RESEARCH_USE = "A research tool, not a medical device: not for diagnosis or any clinical decision."


def environment(package: str) -> jinja2.Environment:
    """The environment of a package's templates: a name that is not given is an error.

    Every value is escaped, in pages for HTML and in all others, which are cards, for Markdown. The
    filter `code` is for values in Markdown's blocks of code.

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
    """Writes a page or a card in UTF-8; of the bytes of a path that are none, escapes."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


@jinja2.pass_eval_context
def _escaped(context: EvalContext, value: object) -> object:
    return value if context.autoescape else markdown.escape(value)
