"""The training, validation and test splits: a stratified 80/10/10 split of whole groups.

The split depends only on the radiographs' content and labels: not on their names, on the order in
which a file system lists them, or on the machine.
"""

from collections import Counter
from collections.abc import Mapping

from cxr_command.dealing import deal

from .refusal import RefusedError

_FEWEST = 6  # With fewer, a fifth is one radiograph, too few for two splits.


class TooFewError(RefusedError, ValueError):
    """There are too few radiographs for three splits."""


def assign(labels: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    """Assigns each radiograph to a split, stratified by class.

    The sizes are those of scikit-learn's stratified `train_test_split` in two steps: a fifth is
    held out, half of that is the test split (the larger half), the other half the validation split.

    Args:
      labels: The class of each id.
      groups: The group of each id, named after its content. A group is never divided.

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
            f"too few for {' and '.join(sorted(empty))}. Add other radiographs."
        )
    return split_of


def apportion(seats: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Allocates seats in proportion to sizes, by the largest-remainder rule.

    Args:
      seats: The number of seats.
      sizes: The size of each class.

    Returns:
      The seats of each class; ties go to the class that sorts first.
    """
    total = sum(sizes.values())
    shares = {label: divmod(seats * size, total) for label, size in sizes.items()}
    left_over = seats - sum(quotient for quotient, _ in shares.values())
    by_remainder = sorted(shares, key=lambda label: (-shares[label][1], label))
    favoured = set(by_remainder[:left_over])
    return {label: quotient + (label in favoured) for label, (quotient, _) in shares.items()}


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
