"""The documentation: the site builds strictly, links lead somewhere, and what it shows is true."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.support import generated_docs, pages
from tests.support.commands import COMMANDS, SCRIPTS
from tests.support.pages import PAGES, name_of

# Flags that the pages name, of other programs and of the example of `how_to/extend.md`.
FOREIGN = {
    "build-arg", "collector", "config", "extract_dir", "file_format", "gpus-per-node", "imports",
    "inverting", "logdir", "manual_dir", "max_examples_per_split", "nodes", "num_shards",
    "overwrite", "power-limit", "setup_file", "strict",
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with warnings as errors, where no network can be reached."""
    folder = tmp_path_factory.mktemp("site")
    unreachable = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", f"--site-dir={folder}"],
        cwd=pages.ROOT, capture_output=True, text=True, timeout=300,
        env=os.environ | unreachable | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_every_page(site):
    built = {file.relative_to(site).with_suffix(".md").as_posix() for file in site.rglob("*.html")}
    inside = {name_of(page).removeprefix("docs/") for page in PAGES if page.is_relative_to("docs")}
    assert built >= inside | set(pages.OUTSIDE.values())


def test_the_site_loads_nothing_from_the_network(site):
    for file in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|iframe|source)[^>]+src=[\"']?([^\"' >]+)"
            r"|<link(?=[^>]+rel=[\"']?(?:stylesheet|icon|preload))[^>]+href=[\"']?([^\"' >]+)",
            file.read_text(),
        )
        found = [one or other for one, other in loaded]
        assert found
        assert not [url for url in found if re.match(r"(?:https?:)?//", url)], file
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text()), style


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_of_the_repository(page):
    """A code host follows them too. The strict build looks at the anchors."""
    missing = [link for link in pages.links_of(page) if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("name", generated_docs.QUICK)
def test_what_is_generated_is_up_to_date(name):
    """If not: make reference."""
    part = generated_docs.QUICK[name]
    assert part.page.read_text() == part.render(part.page.read_text())


# Commands and flags --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flags():
    """Command to its flags, from the pages that `tests/test_usage.py` compares with --help."""
    found = {}
    for name in generated_docs.HELP:
        text = (generated_docs.REFERENCE / f"{name}.md").read_text()
        for section in text.split("\n## ")[1:]:
            names = re.findall(r"^  --(?:\[no\])?(\w+)", section, re.MULTILINE)
            found[section.splitlines()[0]] = set(names)
    return found


def unknown(named, known):
    """What is no flag; of one that is true or false, `--noNAME` is one too."""
    return [name for name in named if not {name, name.removeprefix("no")} & known]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_have_the_flags_that_they_are_given(page, flags):
    modules = {script: module for module, script in SCRIPTS.items()}
    for block in pages.blocks_of(page):
        for words in block.commands():
            words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
            is_module = words[0].endswith("python") and words[1] == "-m"
            module = words[2] if is_module else modules.get(words[0])
            assert module in {None, "pytest", *COMMANDS}, words
            named = [found[1] for word in words if (found := re.match(r"--(\w+)", word))]
            assert module not in COMMANDS or not unknown(named, flags[module]), words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_sentences_name_flags_that_there_are(page, flags):
    known = set().union(*flags.values()) | FOREIGN | {"help", "helpfull"}
    code = " ".join(pages.inline_code_of(page))
    assert not unknown(re.findall(r"(?<![\w-])--([\w-]+)", code), known)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_stand_in_blocks_of_the_language_sh(page):
    """Where the tests find them."""
    if page.stem in generated_docs.HELP:
        return
    for code in pages.other_code_of(page):
        assert not re.search(r"^ *(?:python -m|tfds|cxr-\w+|make) ", code, re.MULTILINE), code


# Files that commands write -------------------------------------------------------------------


def keys_of(page, heading):
    """The keys in the first column of a section's table."""
    text = page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


RUN_PAGE = generated_docs.REFERENCE / "run.md"


def test_the_keys_of_config_json_are_told(finished_run):
    content = json.loads((finished_run / "config.json").read_text())
    assert set(content) <= keys_of(RUN_PAGE, "config.json")
    assert set(content["dataset"]) <= set(re.findall(r"`(\w+)`", RUN_PAGE.read_text()))


def test_the_keys_of_a_row_of_metrics_jsonl_are_told(finished_run):
    row = json.loads((finished_run / "metrics.jsonl").read_text().splitlines()[0])
    assert set(row) <= keys_of(RUN_PAGE, "metrics.jsonl")


def test_the_keys_of_status_json_are_told(finished_run):
    content = json.loads((finished_run / "status.json").read_text())
    assert keys_of(RUN_PAGE, "status.json") == set(content)


def test_the_files_of_a_run_are_told(finished_run):
    table = RUN_PAGE.read_text().partition("\n## ")[0]
    for file in finished_run.iterdir():
        assert f"`{file.name}{'/' * file.is_dir()}`" in table, file


def test_the_keys_of_a_report_are_told():
    schema = json.loads((generated_docs.REFERENCE / "report.schema.json").read_text())
    told = keys_of(generated_docs.REFERENCE / "report.md", "Sections")
    assert told
    assert told <= set(schema["properties"])
