"""Splits patients into training, validation and test: 80/10/10 per class, or as the user says."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from cxr_command.dealing import deal
from cxr_tfds.covid19_radiography.refusal import RefusedError

_SPLITS = ("train", "validation", "test")
# The site of radiographs without a given site.
UNKNOWN_SITE = "unknown"
_SHOWN = 5


class SplitError(RefusedError, ValueError):
    """The radiographs cannot be split in this way; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class PatientSplits:
    """A callable that splits radiographs, independently of file names.

    Attributes:
      given: The splits chosen by the user, by id.
      sites: The site of each id.
      test_sites: The sites that form the test split; empty: patients of all sites.
    """

    given: Mapping[str, str]
    sites: Mapping[str, str]
    test_sites: tuple[str, ...] = ()

    def __call__(self, labels: dict[str, str], groups: dict[str, str]) -> dict[str, str]:
        """Assigns each radiograph to a split.

        Args:
          labels: The class of each id.
          groups: The group of each id, named after its content: radiographs of a patient, or
            copies.

        Returns:
          The split of each id; a group, or a test site, is within one split.

        Raises:
          SplitError: A group would be divided between splits, or a class has too few patients.
        """
        fixed = self._fixed()
        _require_whole(fixed, groups)
        rest = [one for one in labels if not fixed.get(one)]
        split_of = {one: fixed[one] for one in labels if fixed.get(one)}
        piles = _SPLITS[:2] if self.test_sites else _SPLITS
        split_of |= _deal({one: labels[one] for one in rest}, groups, piles)
        _require_content(split_of, labels)
        return {one: split_of[one] for one in labels}

    def _fixed(self) -> dict[str, str]:
        """Returns the splits that are known beforehand; empty for all other ids."""
        if not self.test_sites:
            return dict(self.given)
        if self.given:
            raise SplitError("Give either test_sites or the manifest's column split, not both.")
        if strange := set(self.test_sites).difference(self.sites.values()):
            raise SplitError(
                f"There is no site {', '.join(sorted(strange))} to test on; the sites are "
                f"{', '.join(sorted(set(self.sites.values())))}."
            )
        tested = set(self.test_sites)
        without = [one for one, site in self.sites.items() if site == UNKNOWN_SITE]
        if without and UNKNOWN_SITE not in tested:
            raise SplitError(
                f"No site is given of {len(without):,} radiographs, such as {without[0]}: they may "
                "be of a site to test on. Fill the column site, remove them, or name "
                f"{UNKNOWN_SITE} among test_sites."
            )
        return {one: "test" if site in tested else "" for one, site in self.sites.items()}


def _require_whole(fixed: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """Rejects groups that would be divided between splits."""
    members = defaultdict(list)
    for one, group in groups.items():
        members[group].append(one)
    torn = [of for of in members.values() if len({fixed.get(one, "") for one in of}) > 1]
    if torn:
        shown = "\n".join(
            "  " + ", ".join(f"{one} ({fixed.get(one) or 'train or validation'})" for one in of)
            for of in torn[:_SHOWN]
        )
        more = f"\n  and {len(torn) - _SHOWN:,} more" if len(torn) > _SHOWN else ""
        raise SplitError(
            f"{len(torn)} of {len(members):,} patients or groups of one picture would be in two "
            "splits. Take radiographs away until each is in one; if two patients of different "
            f"sites have one pseudonym, give them others:\n{shown}{more}"
        )


def _deal(
    labels: Mapping[str, str], groups: Mapping[str, str], piles: tuple[str, ...]
) -> dict[str, str]:
    """Assigns groups by their rarest class; holds out a tenth, but at least one, of each class."""
    classes = defaultdict(set)
    for one, label in labels.items():
        classes[groups[one]].add(label)
    sizes = Counter(label for of_group in classes.values() for label in of_group)
    class_of = {
        group: min(of_group, key=lambda label: (sizes[label], label))
        for group, of_group in classes.items()
    }
    wanted: dict[str, dict[str, int]] = {pile: {} for pile in piles}
    for label in sorted(set(labels.values())):
        size = sum(of == label for of in class_of.values())
        if sizes[label] < len(piles):
            raise SplitError(
                f"Class {label!r} has {_patients(sizes[label])} to deal to {_words(piles)}, which "
                f"need {len(piles)}, as no patient may be in two. Add patients, leave the class "
                "out, or give each radiograph its split in a column of manifest.csv."
            )
        held_out = min(max(1, (size + 5) // 10), size // len(piles))
        for pile in piles[1:]:
            wanted[pile][label] = held_out
        wanted["train"][label] = size - held_out * (len(piles) - 1)
    pile_of = deal(class_of, {group: group for group in class_of}, wanted)
    return {one: pile_of[groups[one]] for one in labels}


def _require_content(split_of: Mapping[str, str], labels: Mapping[str, str]) -> None:
    """Rejects a split without radiographs, and a class without training examples."""
    held = {(split, labels[one]) for one, split in split_of.items()}
    if empty := set(_SPLITS).difference(split for split, _ in held):
        raise SplitError(f"Nothing is left for {_words(sorted(empty))}: each needs radiographs.")
    missing = sorted(label for label in set(labels.values()) if ("train", label) not in held)
    if missing:
        raise SplitError(
            f"No radiograph of class {missing[0]!r} is left to train with: train on a site that "
            "has some, or exclude the class."
        )


def _patients(number: int) -> str:
    return "1 patient" if number == 1 else f"{number:,} patients"


def _words(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
