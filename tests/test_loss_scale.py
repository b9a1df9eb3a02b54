import numpy as np

from trainer.training.loss_scale import DynamicLossScale


def test_scale_doubles_after_a_run_of_finite_steps_and_halves_on_overflow():
    scale = DynamicLossScale(initial=8.0, growth_interval=3)
    expected, finite_in_a_row, value = [], 0, 8.0
    seen = []
    for finite in [True, True, True, True, False, True, True, True, False, False]:
        if finite:
            scale.after_finite_step()
            finite_in_a_row += 1
            if finite_in_a_row == 3:
                value, finite_in_a_row = value * 2, 0
        else:
            scale.after_overflow()
            value, finite_in_a_row = value / 2, 0
        seen.append(float(scale.value))
        expected.append(value)
    np.testing.assert_array_equal(seen, expected)


def test_scale_never_falls_below_one():
    scale = DynamicLossScale(initial=2.0)
    for _ in range(5):
        scale.after_overflow()
    assert float(scale.value) == 1.0
