"""Loading of batches on other hosts, by tf.data service.

Every data host is a tf.data service of its own, with one worker. It makes the same order of tokens
as the trainer would, and loads the batches whose turn is its own; the trainer takes from the hosts
in turn. So the batches, and what a resumed run goes on with, are those of loading on the spot.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from trainer.errors import UserError


def parse_addresses(text: str | None) -> tuple[str, ...]:
    """Splits `HOST:PORT[,HOST:PORT...]`; empty for None.

    Raises:
        UserError: it is something else.
    """
    addresses = tuple(text.split(",")) if text else ()
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise UserError(
                f"--data_service={text}: expected HOST:PORT of each data host, "
                "separated by commas, as launch.data_service shows it"
            )
    return addresses


def load_on_hosts(
    tokens: tf.data.Dataset,
    load: Callable[[tf.data.Dataset], tf.data.Dataset],
    addresses: Sequence[str],
) -> tf.data.Dataset:
    """Loads batches of tokens on data hosts, in the order of the tokens.

    Args:
        tokens: an endless dataset of batches of tokens.
        load: makes of such a dataset the dataset of loaded batches.
        addresses: `HOST:PORT` of each host.

    Returns:
        What `load(tokens)` gives.
    """
    count = len(addresses)
    shares = [
        load(tokens.shard(count, index)).apply(
            tf.data.experimental.service.distribute(
                # One worker in each service: it has its whole dataset, in order.
                tf.data.experimental.service.ShardingPolicy.OFF,
                f"grpc://{address}",
            )
        )
        for index, address in enumerate(addresses)
    ]
    turns = tf.data.Dataset.range(count).repeat()
    return tf.data.Dataset.choose_from_datasets(shares, turns, stop_on_empty_dataset=True)
