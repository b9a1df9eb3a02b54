import jinja2
import pytest

from trainer.templates import environment, write


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("trainer.evaluation", "report.html"), ("trainer.evaluation", "model_card.md"),
        ("trainer.explain", "gallery.html"), ("trainer", "card.md"),
    ],
)  # fmt: skip
def test_a_value_that_a_template_wants_and_does_not_get_is_an_error(package, name):
    filters = dict.fromkeys(("percent", "number", "interval", "p_value", "label"), str)
    templates = environment(package)
    templates.filters.update(filters)
    with pytest.raises(jinja2.UndefinedError):
        templates.get_template(name).render()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a.html", "<b>&lt;i&gt;*&#34;</b> *"), ("a.md", r"<b>\<i\>\*\"</b> *")],
)
def test_pages_escape_html_and_cards_markdown(name, shown):
    templates = environment("trainer.explain")
    templates.loader = jinja2.DictLoader({name: "<b>{{ value }}</b> *"})
    assert templates.get_template(name).render(value='<i>*"') == shown.replace('\\"', '"')


def test_what_stands_in_a_block_of_code_is_not_escaped_and_does_not_leave_it():
    templates = environment("trainer")
    templates.loader = jinja2.DictLoader({"a.md": "    {{ value | code }}"})
    shown = templates.get_template("a.md").render(value="a*b\n\n# c")
    assert shown == "    a*b\\n\\n# c"


def test_a_page_with_the_name_of_a_file_that_is_no_unicode_is_written(tmp_path):
    write(tmp_path / "page.html", "é \udcff")
    assert (tmp_path / "page.html").read_bytes() == "é \\udcff".encode()
