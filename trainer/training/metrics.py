"""Sums over all examples, kept on each replica and added up only when they are read."""

import tensorflow as tf

_NAMES = ("loss", "correct", "examples", "waited")


class Totals:
    """Running sums of one pass over a split.

    Every replica adds to its own float64 sums without talking to the others; reading adds the
    replicas' sums up. A row of weight 0 counts nowhere.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        """Creates the sums, all zero, on every replica."""
        with strategy.scope():
            self._sums = {name: _replica_sum(name) for name in _NAMES}

    def add(self, *, losses: tf.Tensor, logits: tf.Tensor, batch: dict) -> None:
        """Adds one replica's batch. Called in replica context.

        Args:
            losses: `[batch] float32`, the loss of each example.
            logits: `[batch, classes] float32`.
            batch: its `label` `[batch]` and `weight` `[batch]` are used.
        """
        predicted = tf.argmax(logits, axis=1, output_type=batch["label"].dtype)
        hits = tf.cast(predicted == batch["label"], tf.float32)
        self._add("loss", tf.reduce_sum(losses * tf.cast(batch["weight"], losses.dtype)))
        self._add("correct", tf.reduce_sum(hits * batch["weight"]))
        self._add("examples", tf.reduce_sum(batch["weight"]))

    def add_waited(self, seconds: tf.Tensor) -> None:
        """Adds the time for which the loop stood waiting for a batch. Called in replica context."""
        self._add("waited", seconds)

    def _add(self, name: str, value: tf.Tensor) -> None:
        self._sums[name].assign_add(tf.cast(value, tf.float64))

    def read_and_reset(self) -> dict[str, float]:
        """Ends the pass.

        Returns:
            `loss` (mean over examples), `accuracy` (0 to 1), `examples` (count) and `waited`
            (seconds, summed over replicas).
        """
        sums = {name: float(tf.convert_to_tensor(total)) for name, total in self._sums.items()}
        for total in self._sums.values():
            total.assign(0.0)
        return {
            "loss": sums["loss"] / sums["examples"],
            "accuracy": sums["correct"] / sums["examples"],
            "examples": round(sums["examples"]),
            "waited": sums["waited"],
        }


def _replica_sum(name: str) -> tf.Variable:
    return tf.Variable(
        0.0,
        dtype=tf.float64,
        trainable=False,
        name=name,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )
