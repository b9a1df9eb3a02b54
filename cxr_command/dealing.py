"""Assigns whole groups of radiographs to splits or folds, with given class counts.

The result depends only on the groups' names and the labels, not on any order.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from typing import TypeVar

# Changing the salt changes every assignment, which requires a new major version of the dataset.
_SALT = "covid19_radiography"

Id = TypeVar("Id", bound=Hashable)


def deal(
    labels: Mapping[Id, str],
    groups: Mapping[Id, str],
    wanted: Mapping[str, Mapping[str, int]],
) -> dict[Id, str]:
    """Assigns whole groups to piles, as close to the requested sizes as the groups allow.

    A group is assigned to the pile with the largest missing share of its classes. Larger groups
    come first, so that single radiographs can fill the remaining places exactly.

    Args:
      labels: The class of each id.
      groups: The group of each id.
      wanted: The number of radiographs of each class for each pile; the total over all piles must
        equal the number of radiographs.

    Returns:
      The pile of each id.
    """
    members: dict[str, list[Id]] = defaultdict(list)
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


def deal_folds(labels: Mapping[Id, str], groups: Mapping[Id, str], folds: int) -> dict[Id, int]:
    """Assigns radiographs to folds, stratified by class, without dividing a group.

    Args:
      labels: The class of each id.
      groups: The group of each id.
      folds: The number of folds, at least 2.

    Returns:
      The fold of each id, from 0.

    Raises:
      ValueError: There are fewer than two folds, or more than there are groups.
    """
    most = len(set(groups.values()))
    if not 2 <= folds <= most:
        raise ValueError(
            f"Cannot split {len(labels)} radiographs in {most} groups into {folds} folds: "
            f"choose from 2 to {most}."
        )
    fold_of = deal(labels, groups, _sizes(labels, folds))
    return {one: int(fold) for one, fold in fold_of.items()}


def _sizes(labels: Mapping[Id, str], folds: int) -> dict[str, dict[str, int]]:
    """Returns equal shares of every class; remainders rotate, so that folds stay equal in size."""
    sizes: dict[str, dict[str, int]] = {str(fold): {} for fold in range(folds)}
    turn = 0
    for label, size in sorted(Counter(labels.values()).items()):
        for fold in range(folds):
            gets_one_more = (fold - turn) % folds < size % folds
            sizes[str(fold)][label] = size // folds + gets_one_more
        turn += size % folds
    return sizes


def _need(
    missing: Mapping[str, int], wanted: Mapping[str, int], counts: Mapping[str, int]
) -> tuple[bool, float]:
    """Returns whether a pile has room for a group, and the share still missing."""
    has_room = all(missing.get(label, 0) >= count for label, count in counts.items())
    lacks = sum(missing.get(label, 0) for label in counts)
    return has_room, lacks / max(1, sum(wanted.get(label, 0) for label in counts))


def _digest(group: str) -> bytes:
    return hashlib.sha256(f"{_SALT}/{group}".encode()).digest()
