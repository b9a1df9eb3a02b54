"""Loading of batches on other hosts, by tf.data service.

Each data host runs its own tf.data service with one worker. It loads the batches whose turn is its
own, by their numbers; the trainer takes from the hosts in turn. So the batches, and what a resumed
run goes on with, are those of loading on the spot.
"""

import socket
import time
from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import logging

from trainer.direct_connections import connect_directly
from trainer.errors import UserError, WorkerLost

_LARGEST_PORT = 65_535
_RETRY_SECONDS = 0.5


def parse_addresses(text: str | None) -> tuple[str, ...]:
    """Splits `HOST:PORT[,HOST:PORT...]`; empty for None.

    Raises:
        UserError: it is something else.
    """
    addresses = tuple(text.split(",")) if text else ()
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= _LARGEST_PORT:
            raise UserError(
                f"--data_service={text}: expected HOST:PORT of each data host, "
                "separated by commas, as launch.data_service shows it"
            )
    return addresses


def require_hosts(addresses: Sequence[str], patience: float) -> None:
    """Waits until every data host answers: they may be starting too.

    Args:
        addresses: `HOST:PORT` of each.
        patience: seconds to wait for each.

    Raises:
        WorkerLost: one does not answer.
    """
    connect_directly(addresses)
    for address in addresses:
        if refusal := _refusal(address):
            logging.info("waiting for the data host %s (%s)", address, refusal)
        until = time.monotonic() + patience
        while refusal and time.monotonic() < until:
            time.sleep(_RETRY_SECONDS)
            refusal = _refusal(address)
        if refusal:
            raise WorkerLost(
                f"the data host {address} does not answer ({refusal}); start it with python -m "
                "launch.data_service, then this command again"
            )


def _refusal(address: str) -> str | None:
    """Why nothing answers at an address; None if something does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_RETRY_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def load_on_hosts(
    numbers: tf.data.Dataset,
    load: Callable[[tf.data.Dataset], tf.data.Dataset],
    addresses: Sequence[str],
) -> tf.data.Dataset:
    """Loads batches on data hosts, in the order of their numbers.

    Args:
        numbers: an endless dataset of the batches' numbers.
        load: makes of such a dataset the dataset of loaded batches.
        addresses: `HOST:PORT` of each host.

    Returns:
        What `load(numbers)` gives.
    """
    count = len(addresses)
    shares = [
        load(numbers.shard(count, index)).apply(
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
