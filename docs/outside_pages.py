"""Takes pages that must lie outside of docs/ into the site, and the notebook as a page.

Links to them work there and stay relative paths, which a code host follows too. mkdocs calls the
functions.
"""

import json
import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parents[1]
# Path in the repository to path in the site.
OUTSIDE = {
    "README.md": "index.md",
    "BUILD.md": "development/build.md",
    "CHANGELOG.md": "development/changelog.md",
    "CONTRIBUTING.md": "development/contributing.md",
    "cxr_tfds/covid19_radiography/README.md": "reference/covid19_radiography.md",
    "cxr_tfds/own_radiographs/README.md": "reference/own_radiographs.md",
}
# The same, of a page that is no Markdown.
NOTEBOOK = {"docs/notebook.ipynb": "tutorials/notebook.md"}
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Adds the pages."""
    for source, uri in OUTSIDE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    for source, uri in NOTEBOOK.items():
        content = _as_markdown(json.loads((ROOT / source).read_text())["cells"])
        files.append(File.generated(config, uri, content=content))


def _as_markdown(cells: list[dict]) -> str:
    """The text of a notebook's cells; those of code as fenced blocks."""
    texts = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in cells]
    return "\n\n".join(f"```python\n{text}\n```" if is_code else text for text, is_code in texts)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between places in the repository into links between places in the site."""
    here = page.file.src_uri
    source = next((outside for outside, uri in OUTSIDE.items() if uri == here), f"docs/{here}")

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        uri = (OUTSIDE | NOTEBOOK).get(target, target.removeprefix("docs/"))
        return posixpath.relpath(uri, posixpath.dirname(here) or ".")

    return _LINK.sub(moved, markdown)
