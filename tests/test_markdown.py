import re

import pytest
from markdown_it import MarkdownIt

from trainer import markdown

NAMES = [
    "<script>alert(1)</script>", "<!-- ", "[a](javascript:b)", "![a](b)", "[a]: b", "![", "&lt;",
    "# a", "- a", "+ a", "1. a", "2) a", "1.", "> a", "a\n\n# b", "a\u2028b", "---", "===", "    a",
    "\ta", "`code`", "```", "~~~", "**a**", "_a_", "a_b_", "~~a~~", "a | b", "| a | b |", "\\",
    "\\*", "http://a_b", "$a$", "-1", "-0.5",
]  # fmt: skip
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SURROUNDINGS = ["{}", "- {}", "a {} b", "# a: {}", "a\n{}"]


def rendered(text):
    """The HTML's tags, and its text as a reader sees it."""
    html = PARSER.render(text)
    shown = re.sub("<[^>]*>", "", html).strip()
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        shown = shown.replace(entity, letter)
    return re.findall("<[^>]*>", html), shown


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_stands_and_adds_no_markup(name, surroundings):
    plain, _ = rendered(surroundings.format("x"))
    tags, shown = rendered(surroundings.format(markdown.escape(name)))
    assert tags == plain
    expected = name.strip().replace("\n", "\\n").replace("\u2028", "\\u2028")
    _, around = rendered(surroundings.format("\N{SNOWMAN}"))
    assert shown == around.replace("\N{SNOWMAN}", expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_in_its_cell(name):
    table = f"| a | b |\n|---|---|\n| {markdown.escape(name)} | 2 |\n"
    tags, _ = rendered(table)
    assert tags == rendered("| a | b |\n|---|---|\n| x | 2 |\n")[0]


@pytest.mark.parametrize("value", ["covid19_radiography/224x224:1.0.0", 3, -0.25, "–", "a b"])
def test_what_is_no_markup_stays_readable(value):
    assert markdown.escape(value) == str(value)


def test_code_stays_in_its_block():
    text = f"    python {markdown.code('*a* <b>' + chr(10) * 2 + '# c')}\n"
    tags, shown = rendered(text)
    assert tags == ["<pre>", "<code>", "</code>", "</pre>"]
    assert shown == "python *a* <b>\\n\\n# c"
