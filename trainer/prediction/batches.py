"""Groups files, some of which are skipped, into full batches for a network."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from trainer.evaluation.predictions import BATCH

# Maximum rows per batch, so that a million damaged files do not accumulate.
_MOST_ROWS = 32 * BATCH

Item = TypeVar("Item")


def whole_batches(
    items: Iterable[Item], is_read: Callable[[Item], bool]
) -> Iterator[tuple[list[Item], bool]]:
    """Groups items so that every group except the last fills a batch of the network.

    The grouping depends only on preceding items, so a call that resumes after whole batches
    computes the same results as an uninterrupted one.

    Args:
        items: read and skipped files, in order.
        is_read: whether an item occupies a place in the batch.

    Yields:
        The items of a batch, including skipped ones before and between them, and whether the batch
        is full; only the last one may not be.
    """
    batch: list[Item] = []
    places = 0
    for item in items:
        batch.append(item)
        places += is_read(item)
        if places == BATCH or len(batch) == _MOST_ROWS:
            yield batch, True
            batch, places = [], 0
    if batch:
        yield batch, False
