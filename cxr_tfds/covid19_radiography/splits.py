"""Which radiographs train, validate and test: a stratified 80/10/10 split.

The split depends on the ids and labels alone: not on the order in which a file system lists the
files, nor on the machine, nor on the seed of Python's hash.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping

# Changing the salt deals every radiograph anew: that is a new major version of the dataset.
_SALT = "covid19_radiography"
_FEWEST = 6  # With fewer, a fifth is a single radiograph, which cannot both validate and test.


def assign(labels: Mapping[str, str]) -> dict[str, str]:
    """Assigns each radiograph to a split, every class in the same proportions.

    As scikit-learn's stratified `train_test_split` does in two steps: a fifth is held out, half of
    that is the test split (the larger half), the other half the validation split.

    Args:
      labels: The class of each id.

    Returns:
      The split of each id: "train", "validation" or "test".

    Raises:
      ValueError: There are too few radiographs for three splits.
    """
    if len(labels) < _FEWEST:
        raise ValueError(
            f"Found {len(labels)} radiographs; train, validation and test need at least {_FEWEST}."
        )
    ids = _shuffled_ids(labels)
    sizes = {label: len(members) for label, members in ids.items()}
    held_out = apportion(_ceil_div(len(labels), 5), sizes)
    test = apportion(_ceil_div(sum(held_out.values()), 2), held_out)
    split_of = dict.fromkeys(labels, "train")
    for label, members in ids.items():
        split_of.update(dict.fromkeys(members[: held_out[label]], "validation"))
        split_of.update(dict.fromkeys(members[: test[label]], "test"))
    return split_of


def apportion(seats: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Shares out seats in proportion to sizes, by the largest-remainder rule.

    Args:
      seats: How many to share out.
      sizes: The size of each class.

    Returns:
      The seats of each class; equal remainders favour the class that sorts first.
    """
    total = sum(sizes.values())
    shares = {label: divmod(seats * size, total) for label, size in sizes.items()}
    left_over = seats - sum(quotient for quotient, _ in shares.values())
    by_remainder = sorted(shares, key=lambda label: (-shares[label][1], label))
    favoured = set(by_remainder[:left_over])
    return {label: quotient + (label in favoured) for label, (quotient, _) in shares.items()}


def _shuffled_ids(labels: Mapping[str, str]) -> dict[str, list[str]]:
    ids = defaultdict(list)
    for radiograph_id in sorted(labels, key=_digest):
        ids[labels[radiograph_id]].append(radiograph_id)
    return ids


def _digest(radiograph_id: str) -> bytes:
    return hashlib.sha256(f"{_SALT}/{radiograph_id}".encode()).digest()


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
