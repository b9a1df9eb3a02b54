"""Loads batches on other hosts with the tf.data service.

Each data host runs its own tf.data service with one worker. With n hosts, each host loads every
n-th batch number, and the trainer reads from the hosts round-robin. The batches, and the position
at which a resumed run continues, are therefore the same as with local loading.
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
    """Parses `HOST:PORT[,HOST:PORT...]`; returns an empty tuple for None.

    Raises:
        UserError: the text has another form.
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
    """Waits until every data host answers, as they may still be starting.

    Args:
        addresses: `HOST:PORT` of each data host.
        patience: seconds to wait for each host.

    Raises:
        WorkerLost: a host does not answer.
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
    """Returns why an address does not answer; None if it does."""
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
        numbers: an infinite dataset of batch numbers.
        load: maps such a dataset to the dataset of loaded batches.
        addresses: `HOST:PORT` of each host.

    Returns:
        A dataset with the same elements as `load(numbers)`.
    """
    count = len(addresses)
    shares = [
        load(numbers.shard(count, index)).apply(
            tf.data.experimental.service.distribute(
                # Each service has one worker, which reads its whole dataset in order.
                tf.data.experimental.service.ShardingPolicy.OFF,
                f"grpc://{address}",
            )
        )
        for index, address in enumerate(addresses)
    ]
    turns = tf.data.Dataset.range(count).repeat()
    return tf.data.Dataset.choose_from_datasets(shares, turns, stop_on_empty_dataset=True)
