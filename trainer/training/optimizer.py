"""Builds the optimizer of a phase: Keras' Adam, AdamW or SGD, with its learning-rate schedule."""

import dataclasses
import math

import keras

from trainer.settings import section, setting

# Scaling of learning rates with the batch size, by optimizer: a step of SGD is proportional to the
# gradient, a step of Adam is not.
_SCALING = {"sgd": "linear", "adam": "square_root", "adamw": "square_root"}
# Names of weights of Keras layers that are biases or belong to normalisation.
_NEVER_DECAYED = ("bias", "gamma", "beta")


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay applies to a weight of a Keras layer."""
    return variable.name not in _NEVER_DECAYED


@section("Optimisation", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class Optimization:
    """Settings of the optimizer and its learning rate.

    Attributes:
        optimizer: Keras' `adam`, `adamw` or `sgd`.
        momentum: momentum of `sgd`.
        learning_rate: the highest learning rate, reached after the warm-up; of the first phase if
            there are two.
        learning_rate_scaling: how the recipe's learning rates are scaled if
            `--global_batch_size=auto` finds a batch other than the recipe's: `linear` in its size
            (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.1), with its
            `square_root` (Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient
            Algorithms"), or `none`; `auto` is linear for `sgd`, else the square root.
        schedule: `constant`, or `cosine`, which falls to 0 along half a cosine in each phase
            (Loshchilov and Hutter 2017, "SGDR", section 3, without restarts).
        warmup_epochs: epochs in which the learning rate of `cosine` rises linearly from 0; may be a
            fraction.
        clip_norm: largest global norm of the reduced gradients; 0: no clipping.
        weight_decay: decoupled weight decay per unit of learning rate, for `adamw` and `sgd`
            (AdamW, Loshchilov and Hutter 2019).
        ema_momentum: momentum of the moving average of the weights, which is evaluated and saved;
            0: no average.
    """

    optimizer: str = setting("adam", "Keras optimizer.", choices=("adam", "adamw", "sgd"))
    momentum: float = setting(0.9, "Momentum of sgd.", within=(0, 1))
    learning_rate: float = setting(1e-3, "Highest learning rate.", is_positive=True)
    learning_rate_scaling: str = setting(
        "auto",
        "How a batch found by --global_batch_size=auto changes the recipe's learning rates; auto: "
        "linear for sgd, square_root for adam and adamw.",
        choices=("auto", "linear", "square_root", "none"),
    )
    schedule: str = setting(
        "constant", "Learning rate schedule of a phase.", choices=("constant", "cosine")
    )
    warmup_epochs: float = setting(
        0.0, "Warm-up epochs of the cosine schedule.", within=(0, math.inf)
    )
    clip_norm: float = setting(
        0.0, "Clip the global norm of the reduced gradients; 0: off.", within=(0, math.inf)
    )
    weight_decay: float = setting(0.0, "Decoupled weight decay (adamw, sgd).", within=(0, math.inf))
    ema_momentum: float = setting(
        0.0, "Momentum of the moving average of the weights; 0: off.", within=(0, 1)
    )


def build_optimizer(
    chosen: Optimization, *, total_steps: int = 1, steps_per_epoch: int = 1
) -> keras.optimizers.Optimizer:
    """Builds an optimizer.

    Args:
        chosen: the settings.
        total_steps: steps of the phase, including the warm-up.
        steps_per_epoch: steps of an epoch.

    Returns:
        The optimizer, not yet built.
    """
    settings = {
        "learning_rate": _schedule(
            chosen, total_steps, warmup_steps=round(chosen.warmup_epochs * steps_per_epoch)
        ),
        "weight_decay": chosen.weight_decay or None,
        "use_ema": chosen.ema_momentum > 0,
        "ema_momentum": chosen.ema_momentum,
    }
    if chosen.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=chosen.momentum, **settings)
    make = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[chosen.optimizer]
    return make(**settings)


def learning_rate_factor(chosen: Optimization, growth: float) -> float:
    """Returns the factor of the learning rates for a batch other than the recipe's.

    Args:
        chosen: the settings.
        growth: the batch size divided by the recipe's.
    """
    rule = chosen.learning_rate_scaling
    rule = _SCALING[chosen.optimizer] if rule == "auto" else rule
    return {"linear": growth, "square_root": math.sqrt(growth), "none": 1.0}[rule]


def _schedule(
    chosen: Optimization, total_steps: int, warmup_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    learning_rate = chosen.learning_rate
    if chosen.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else learning_rate,
            decay_steps=max(1, total_steps - warmup_steps),
            warmup_target=learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    return learning_rate
