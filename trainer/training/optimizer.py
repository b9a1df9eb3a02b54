"""Builds the optimizer of a phase: Keras' Adam, AdamW or SGD, with its learning-rate schedule."""

import keras

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")

# Names of the weights of Keras' layers that are biases or belong to a normalisation.
_NEVER_DECAYED = ("bias", "gamma", "beta")


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay applies to a weight of a Keras layer."""
    return variable.name not in _NEVER_DECAYED


def build_optimizer(
    name: str,
    *,
    learning_rate: float,
    schedule: str = "constant",
    total_steps: int = 1,
    warmup_steps: int = 0,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    ema_momentum: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Builds an optimizer.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: the highest, reached after the warm-up.
        schedule: one of `SCHEDULES`: `cosine` falls to 0 along half a cosine (Loshchilov and
            Hutter 2017, "SGDR", section 3, without restarts).
        total_steps: steps of the phase, warm-up included.
        warmup_steps: steps in which the learning rate rises linearly from 0.
        momentum: of `sgd`.
        weight_decay: share of a weight that a step takes away per unit of learning rate (decoupled
            as in AdamW, Loshchilov and Hutter 2019).
        ema_momentum: momentum of the moving average of the weights; 0 keeps none.

    Returns:
        The optimizer, not yet built.
    """
    settings = {
        "learning_rate": _schedule(schedule, learning_rate, total_steps, warmup_steps),
        "weight_decay": weight_decay or None,
        "use_ema": ema_momentum > 0,
        "ema_momentum": ema_momentum,
    }
    if name == "sgd":
        return keras.optimizers.SGD(momentum=momentum, **settings)
    make = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[name]
    return make(**settings)


def _schedule(
    schedule: str, learning_rate: float, total_steps: int, warmup_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else learning_rate,
            decay_steps=max(1, total_steps - warmup_steps),
            warmup_target=learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    return learning_rate
