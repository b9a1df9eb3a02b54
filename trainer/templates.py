"""How pages and cards are rendered, and the sentence that each of them carries."""

import jinja2

RESEARCH_USE = "A research tool, not a medical device: not for diagnosis or any clinical decision."


def environment(package: str) -> jinja2.Environment:
    """The environment of a package's templates: HTML escaped, a name that is not given an error.

    Args:
        package: name of a package with a folder `templates`.

    Returns:
        A new environment.
    """
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
