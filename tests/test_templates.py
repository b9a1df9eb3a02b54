import jinja2
import pytest

from trainer.templates import environment


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("evaluation", "report.html"), ("evaluation", "model_card.md"),
        ("explain", "gallery.html"), ("export", "model_card.md"),
    ],
)  # fmt: skip
def test_a_value_that_a_template_wants_and_does_not_get_is_an_error(package, name):
    filters = dict.fromkeys(("percent", "number", "interval", "p_value", "words"), str)
    templates = environment(f"trainer.{package}")
    templates.filters.update(filters)
    with pytest.raises(jinja2.UndefinedError):
        templates.get_template(name).render()


def test_pages_escape_markup_and_cards_do_not():
    escapes = environment("trainer.explain").autoescape
    assert (escapes("gallery.html"), escapes("model_card.md")) == (True, False)
