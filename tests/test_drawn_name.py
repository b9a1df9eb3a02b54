import warnings

import pytest
from matplotlib.figure import Figure

from trainer.drawn_name import drawn

NAMES = {
    "math": "$x^{$",
    "two": "a$b$c",
    "underscore": "_hidden",
    "newline": "a\nb",
    "escape": "\x1b[1m",
    "no unicode": "a\udcff",
    "long": "n" * 5000,
    "backslash": "\\$ \\frac $",
    "plain": "COVID",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_every_name_is_drawn_wherever_a_picture_has_one(name, tmp_path):
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], label=drawn(name))
    axes.set_title(drawn(name))
    axes.set_yticks([0, 1], [drawn(name), "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(axes.legend().get_texts()) == 1
        figure.savefig(tmp_path / "picture.png")


def test_a_name_of_letters_is_drawn_as_it_is():
    assert drawn("Viral Pneumonia (Größe 肺)") == "Viral Pneumonia (Größe 肺)"


def test_dollars_are_shown_and_not_computed():
    from matplotlib.text import Text

    shown, is_math = Text(text=drawn("a$b$"))._preprocess_math(drawn("a$b$"))
    assert (shown, is_math) == ("a$b$", False)


def test_of_a_long_name_both_ends_are_shown():
    name = "patient-" + "0" * 100 + "-left"
    assert len(drawn(name)) <= 40
    assert drawn(name).startswith("patient-0") and drawn(name).endswith("0-left")
