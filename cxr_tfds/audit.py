r"""Audits a built dataset: its content, and the association of source and class.

The association is also shown for the training split resampled with other shares of a source.

Usage:

    python -m cxr_tfds.audit --data_dir=DATA [--config=full|224x224] \
        [--dataset=own_radiographs]

It reads the table `splits.csv` beside the built dataset. The exit code is 1 if a group of
duplicates is divided between splits, which no build of this dataset does.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from cxr_command import split_table
from cxr_command.exit_codes import ExitCode
from cxr_command.runner import Command
from cxr_tfds import dataset_flags
from cxr_tfds.confounding import (
    SHARES,
    Redrawn,
    SourceAlone,
    cramers_v,
    evaluate_source_alone,
    redraw,
)

_SPLITS = ("train", "validation", "test")


def duplicate_groups(rows: Iterable[split_table.Row]) -> list[list[split_table.Row]]:
    """Finds the groups of more than one radiograph.

    Args:
      rows: The table of splits.

    Returns:
      The members of each group, in the order of the table.
    """
    groups = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return [members for members in groups.values() if len(members) > 1]


def straddling(groups: Iterable[list[split_table.Row]]) -> list[list[split_table.Row]]:
    """Finds the groups with radiographs in more than one split.

    Args:
      groups: Groups of radiographs.

    Returns:
      Those groups; empty if no duplicates are shared between splits.
    """
    return [members for members in groups if len({row.split for row in members}) > 1]


def _print_table(title: str, head: Sequence[str], counts: Counter) -> None:
    """Prints counts keyed by (row, column), with totals."""
    names = sorted({name for name, _ in counts})
    lines = [[name, *(counts[name, column] for column in head)] for name in names]
    lines = [[*line, sum(line[1:])] for line in lines]
    lines.append(["all", *(sum(column) for column in list(zip(*lines, strict=True))[1:])])
    width = max(len(str(line[0])) for line in lines)
    print(f"\n{title}\n{'':{width}}" + "".join(f"{name:>17}" for name in (*head, "all")))
    for name, *numbers in lines:
        print(f"{name:{width}}" + "".join(f"{number:>17,}" for number in numbers))


def _print_groups(groups: list[list[split_table.Row]]) -> None:
    identical = sum(len({row.sha256 for row in members}) < len(members) for members in groups)
    mixed = sum(len({row.label for row in members}) > 1 for members in groups)
    print(
        f"\nDuplicates and patients: {len(groups)} group{'' if len(groups) == 1 else 's'} of "
        f"{sum(map(len, groups))} radiographs; {identical} with byte-identical files, "
        f"{mixed} with more than one class."
    )
    for members in groups:
        print(f"  {members[0].split:10}  " + ", ".join(row.id for row in members))
    torn = straddling(groups)
    print(f"Groups in more than one split: {len(torn) or 'none'}.")
    for members in torn:
        print("  " + ", ".join(f"{row.id} ({row.split})" for row in members))


def _print_source_alone(baseline: SourceAlone) -> None:
    print("\nA classifier that sees only the source predicts")
    for source, label in baseline.says.items():
        print(f"  {source:12} {label}")
    print(
        f"and score {baseline.accuracy:.2%} on the test split (balanced "
        f"{baseline.balanced_accuracy:.2%}; always answering the most frequent class "
        f"{baseline.majority:.2%}).\nA network that tells sources apart can reach this without "
        "looking at a lung: compare accuracies with it, and report them by source."
    )


def _print_association(rows: Sequence[split_table.Row]) -> None:
    """Prints Cramer's V of each split, and of the resampled training split."""
    print("\nCramer's V of source and class (bias-corrected; 0: independent, 1: fully determined)")
    for split in _SPLITS:
        part = [row for row in rows if row.split == split]
        if part:
            value = cramers_v([row.label for row in part], [row.source for row in part])
            print(f"  {split:12} {value:.3f}")
    drawn = list(redraw(rows))
    print("\nThe training split resampled with trainer.main --source_share=CLASS:SOURCE=SHARE")
    if not drawn:
        print("  No class has examples from two sources: resampling is not possible.")
        return
    print("Of the class's radiographs SHARE come from SOURCE; there are as many for every SHARE.")
    _print_redrawn("Cramer's V of the training split", drawn, [one.cramers_v for one in drawn])
    _print_redrawn("The source alone on the test split", drawn, [one.accuracy for one in drawn])


def _print_redrawn(
    title: str, drawn: Sequence[Redrawn], numbers: Sequence[Sequence[float | None]]
) -> None:
    shares = "".join(f"{f'SHARE={share:g}':>12}" for share in SHARES)
    print(f"\n{title}\n{'CLASS:SOURCE':32}{'radiographs':>12}{shares}")
    for one, values in zip(drawn, numbers, strict=True):
        cells = "".join(f"{'-' if value is None else format(value, '.3f'):>12}" for value in values)
        print(f"{f'{one.label}:{one.source}':32}{one.size:>12,}{cells}")


def _define_flags() -> None:
    dataset_flags.define()


def _main() -> None:
    folder = dataset_flags.find()
    rows = split_table.read(folder)
    labels = sorted({row.label for row in rows})
    print(f"{folder}: {len(rows):,} radiographs")
    by_class = Counter((row.label, row.split) for row in rows)
    _print_table("Radiographs by class and split", _SPLITS, by_class)
    for split in _SPLITS:
        by_source = Counter((row.source, row.label) for row in rows if row.split == split)
        _print_table(f"Radiographs by source and class: {split}", labels, by_source)
    groups = duplicate_groups(rows)
    _print_groups(groups)
    _print_source_alone(evaluate_source_alone(rows))
    _print_association(rows)
    sys.exit(ExitCode.FOUND if straddling(groups) else ExitCode.DONE)


if __name__ == "__main__":
    Command(_main, _define_flags).run()
