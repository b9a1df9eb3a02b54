import pytest

from trainer.evaluation import formats


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (0.0, "0.000"), (0.12345, "0.123"), (1.0, "1.000"), (-0.25, "-0.250"),
        (0.0004, "<\N{NO-BREAK SPACE}0.001"), (-0.0004, ">\N{NO-BREAK SPACE}-0.001"),
        (0.0006, "0.001"),
    ],
)  # fmt: skip
def test_numbers_have_three_decimals_and_none_looks_like_zero_that_is_not(value, shown):
    assert formats.number(value) == shown


def test_a_percentage_has_the_precision_of_the_proportion():
    assert formats.percent(0.8767) == "87.7\N{NO-BREAK SPACE}%"  # As 0.877 has.
    assert formats.percent(0.95, 0) == "95\N{NO-BREAK SPACE}%"


def test_p_values_stop_at_a_thousandth():
    assert formats.p_value(0.0009) == "<\N{NO-BREAK SPACE}0.001"
    assert formats.p_value(0.0451) == "0.045"
