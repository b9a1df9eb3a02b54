"""Full batches for a network, from files of which some are left out."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from trainer.evaluation.predictions import BATCH

# Rows of a batch, so that a million damaged files do not pile up.
_MOST_ROWS = 32 * BATCH

Item = TypeVar("Item")


def whole_batches(
    items: Iterable[Item], is_read: Callable[[Item], bool]
) -> Iterator[tuple[list[Item], bool]]:
    """Groups items so that each group but the last fills a batch of the network.

    Which items share a batch depends on those before them alone. So a call that goes on after whole
    batches computes the rest as it would have been computed.

    Args:
        items: read and left-out files, in their order.
        is_read: whether an item takes a place of the batch.

    Yields:
        The items of a batch, those that are left out before and between its own among them, and
        whether it is whole; only the last one may not be.
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
