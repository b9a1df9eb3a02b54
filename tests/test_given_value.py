import decimal
import fractions
import pathlib

import numpy as np
import pytest

from trainer.errors import UserError
from trainer.given_value import LARGEST_FLOAT, shown, typed


class BytesPath:
    def __fspath__(self):
        return b"caf\xe9"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (bool, False, False),
        (int, np.int64(3), 3),
        (float, 3, 3.0),
        (float, fractions.Fraction(1, 4), 0.25),
        (float, np.float32(0.5), 0.5),
        (str, "text", "text"),
        (str, pathlib.Path("a/b"), "a/b"),
        (str, BytesPath(), "caf\udce9"),  # As `sys.argv` holds a byte that is no UTF-8.
        (tuple, ["a", "b"], ("a", "b")),
    ],
)
def test_a_value_becomes_what_its_flag_would_give(kind, value, expected):
    made = typed(kind, "name", value)
    assert type(made) is kind
    assert made == expected


@pytest.mark.parametrize("digits", [400, 5000, 100_000])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_number_beyond_all_floats_is_refused(digits, sign):
    for value in (sign * 10**digits, fractions.Fraction(sign * 10**digits, 3)):
        with pytest.raises(UserError, match=r"^--rate=.*: expected a number of at most 3.4e\+38$"):
            typed(float, "rate", value)
    assert float(np.finfo(np.float32).max) == pytest.approx(LARGEST_FLOAT, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (bool, 1, "True or False"),
        (int, 3.0, "a whole number"),
        (int, True, "a whole number"),
        (float, "1e-3", "a number"),
        (float, 1j, "a number"),
        (float, decimal.Decimal(1), "a number"),
        (float, np.ones(3), "a number"),
        (str, 10**5000, "text"),
        (str, b"run", "text"),
        (str, "a\0b", "text without a null character"),
        (str, pathlib.Path("a\0b"), "text without a null character"),
        (str, "\ud800", "text without half of a surrogate pair"),
        (tuple, "COVID", "a list"),
    ],
    ids=shown,
)
def test_another_type_is_refused_in_words(kind, value, expected):
    with pytest.raises(UserError) as raised:
        typed(kind, "name", value)
    assert str(raised.value) == f"--name={shown(value)}: expected {expected}"


class Unshown:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value",
    [
        10**100_000,
        [10**5000],
        {"a": -(10**5000)},
        "x" * 10**6,
        np.zeros(10**4),
        Unshown(),
        range(9),
    ],
    ids=["number", "list", "dict", "text", "array", "no repr", "range"],
)
def test_any_value_is_shown_in_a_line(value):
    assert len(shown(value)) < 200
    assert "\n" not in shown(value)


@pytest.mark.parametrize("value", [5, -0.5, "a 'text'", None, True, ["a", 7], ("a",)])
def test_what_is_short_is_shown_as_python_writes_it(value):
    assert shown(value) == repr(value)
