import dataclasses
import fractions
import pathlib
import re

import numpy as np
import pytest
from absl import flags

from tests.support.settings import SETTINGS
from trainer import settings
from trainer.errors import UserError
from trainer.evaluation import options as of_evaluation
from trainer.explain import options as of_explanation
from trainer.given_value import shown
from trainer.training import config

OF_TRAINING = config.sections().values()
OPTIONS = (of_evaluation.Options, of_explanation.Options)
# What no setting can be, whatever its type.
IMPOSSIBLE = (
    10**400, -(10**400), 10**5000, fractions.Fraction(10**400), np.longdouble("1e4000"), 1j,
    "\ud800", "a\0b", b"bytes", {1}, {}, object(), np.ones(3), [10**5000], [object()],
)  # fmt: skip


def named(value: object) -> str:
    """Names a test's value; all processes must give it the same name, so without its address."""
    return re.sub(" at 0x[0-9a-f]+", "", shown(value))


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=named)
@pytest.mark.parametrize("section", OF_TRAINING, ids=lambda section: section.__name__)
def test_what_no_setting_can_be_is_a_sentence_in_every_setting(section, value):
    for field in dataclasses.fields(section):
        with pytest.raises(UserError, match=f"^--{field.name}=") as raised:
            config.from_asked({"model": "lenet", **SETTINGS, field.name: value})
        assert len(str(raised.value)) < 600


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=named)
@pytest.mark.parametrize("section", OPTIONS, ids=["evaluate", "explain"])
def test_what_no_option_can_be_is_a_sentence_in_every_option(section, value):
    for field in dataclasses.fields(section):
        with pytest.raises(UserError, match=f"^--{field.name}="):
            settings.fill(section, {field.name: value})


@pytest.mark.parametrize(
    "values",
    [
        {"classes": ("COVID", "Viral Pneumonia")},
        {"classes": ("Effusion, left", 'the "other"', "x,y,z"), "ids": ("a\nb", "'", "--seed=1")},
        {"ids": ("",), "curves": False, "seed": 7, "note": 'of "two", at most\n'},
    ],
)
def test_a_command_is_given_the_same_options(values):
    made = settings.fill(of_explanation.Options, values)
    parsed = flags.FlagValues()
    settings.define_flags(of_explanation.Options, values=parsed)
    parsed(["command", *settings.as_flags(made)])
    again = {name: parsed[name].value for name in parsed if parsed[name].present}
    assert settings.fill(of_explanation.Options, again) == made


def test_a_path_is_text():
    made = settings.fill(of_explanation.Options, {"masks_dir": pathlib.Path("a/b")})
    assert settings.as_flags(made) == ["--masks_dir=a/b"]
