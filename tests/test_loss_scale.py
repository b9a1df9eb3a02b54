import numpy as np
import tensorflow as tf

from trainer.training.loss_scale import DynamicLossScale


def scales_after(rule, steps):
    """The scale after each of the steps, which are finite or not."""
    scale, finite_steps = tf.constant(rule.initial), tf.constant(0, tf.int64)
    scales = []
    for is_finite in steps:
        scale, finite_steps = rule.next(scale, finite_steps, tf.constant(is_finite))
        scales.append(float(scale))
    return scales


def test_scale_doubles_after_a_run_of_finite_steps_and_halves_on_overflow():
    steps = [True, True, True, True, False, True, True, True, False, False]
    expected, finite_in_a_row, value = [], 0, 8.0
    for finite in steps:
        if finite:
            finite_in_a_row += 1
            if finite_in_a_row == 3:
                value, finite_in_a_row = value * 2, 0
        else:
            value, finite_in_a_row = value / 2, 0
        expected.append(value)
    rule = DynamicLossScale(initial=8.0, growth_interval=3)
    np.testing.assert_array_equal(scales_after(rule, steps), expected)


def test_scale_never_falls_below_one():
    assert scales_after(DynamicLossScale(initial=2.0), [False] * 5)[-1] == 1.0
