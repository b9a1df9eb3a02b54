"""Which radiographs train, validate and test: a stratified 80/10/10 split of whole groups.

The split depends on what the radiographs show and on their labels alone: not on their names, nor
on the order in which a file system lists them, nor on the machine.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping

from .refusal import RefusedError

# Changing the salt deals every radiograph anew: that is a new major version of the dataset.
_SALT = "covid19_radiography"
_FEWEST = 6  # With fewer, a fifth is a single radiograph, which cannot both validate and test.


class TooFewError(RefusedError, ValueError):
    """There are too few radiographs for three splits."""


def assign(labels: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    """Assigns each radiograph to a split, every class in the same proportions.

    The sizes are those of scikit-learn's stratified `train_test_split` in two steps: a fifth is
    held out, half of that is the test split (the larger half), the other half the validation split.

    Args:
      labels: The class of each id.
      groups: The group of each id, named after its content. A group never straddles splits.

    Returns:
      The split of each id: "train", "validation" or "test".

    Raises:
      TooFewError: There are too few radiographs, or too few groups, for three splits.
    """
    if len(labels) < _FEWEST:
        raise TooFewError(
            f"Found {len(labels)} radiographs; train, validation and test need at least {_FEWEST}."
        )
    sizes = Counter(labels.values())
    held_out = apportion(_ceil_div(len(labels), 5), sizes)
    test = apportion(_ceil_div(sum(held_out.values()), 2), held_out)
    wanted = {
        "train": {label: size - held_out[label] for label, size in sizes.items()},
        "validation": {label: held_out[label] - test[label] for label in sizes},
        "test": test,
    }
    split_of = deal(labels, groups, wanted)
    if empty := wanted.keys() - set(split_of.values()):
        raise TooFewError(
            f"Found {len(labels)} radiographs in {len(set(groups.values()))} groups of duplicates: "
            f"nothing is left for {' and '.join(sorted(empty))}. Add other radiographs."
        )
    return split_of


def deal(
    labels: Mapping[str, str],
    groups: Mapping[str, str],
    wanted: Mapping[str, Mapping[str, int]],
) -> dict[str, str]:
    """Deals whole groups onto piles, as near to the wanted sizes as groups allow.

    A group goes where the largest share of what is wanted of its classes is still missing. The
    larger groups go first, so that single radiographs then make up exactly what is still missing.

    Args:
      labels: The class of each id.
      groups: The group of each id.
      wanted: The number of radiographs of each class that each pile should get; over all piles as
        many as there are.

    Returns:
      The pile of each id.
    """
    members = defaultdict(list)
    for radiograph_id, group in groups.items():
        members[group].append(radiograph_id)
    missing = {pile: Counter(counts) for pile, counts in wanted.items()}
    pile_of = {}
    for group in sorted(members, key=lambda name: (-len(members[name]), _digest(name))):
        counts = Counter(labels[radiograph_id] for radiograph_id in members[group])
        pile = max(wanted, key=lambda name: _need(missing[name], wanted[name], counts))
        missing[pile].subtract(counts)
        pile_of.update(dict.fromkeys(members[group], pile))
    return pile_of


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


def _need(
    missing: Mapping[str, int], wanted: Mapping[str, int], counts: Mapping[str, int]
) -> tuple[bool, float]:
    """How much a pile needs a group: whether it has room for it, and the share still missing."""
    has_room = all(missing.get(label, 0) >= count for label, count in counts.items())
    lacks = sum(missing.get(label, 0) for label in counts)
    return has_room, lacks / max(1, sum(wanted.get(label, 0) for label in counts))


def _digest(group: str) -> bytes:
    return hashlib.sha256(f"{_SALT}/{group}".encode()).digest()


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
