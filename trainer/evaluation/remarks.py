"""The limitations that a report lists before its numbers."""

from collections.abc import Iterator, Mapping

import numpy as np

from trainer.data.examples import Examples

# Fewer examples than this call for a word of caution.
_FEW = 100


def remarks(
    examples: Examples,
    split: str | None,
    seen: int,
    train_examples: Mapping[str, int],
    trained_on: dict[str, int],
) -> list[str]:
    """Lists the limitations of the numbers.

    Args:
        examples: what was evaluated on.
        split: the split that they are; None for a user's own images.
        seen: how many of them the runs were trained or validated on.
        train_examples: name of each run to the number of examples that the dataset has for it to
            train on; none for a user's own images.
        trained_on: likewise, the number that it was trained on.

    Returns:
        One or two sentences each.
    """
    return [
        *_of_examples(examples),
        *_of_split(split, seen, train_examples, trained_on),
    ]


def _of_examples(examples: Examples) -> Iterator[str]:
    size = len(examples.ids)
    if size < _FEW:
        yield f"Only {size} example{'' if size == 1 else 's'}: too few to draw conclusions."
    counts = np.bincount(examples.labels, minlength=len(examples.class_names))
    if absent := [examples.class_names[index] for index in np.flatnonzero(counts == 0)]:
        yield f"No example of {', '.join(absent)}: metrics that need one are blank."
    if examples.account and examples.account.left_out:
        yield f"{examples.account.told()}."
    if examples.groups is None:
        yield (
            "Patients and copies are not known: the bootstrap resamples each image independently."
        )


def _of_split(
    split: str | None,
    seen: int,
    train_examples: Mapping[str, int],
    trained_on: dict[str, int],
) -> Iterator[str]:
    if seen:
        yield (
            f"The models were trained or validated on {seen} of these examples ({split}): this is "
            "not a test."
        )
    for name, examples in trained_on.items():
        found = train_examples.get(name, examples)
        if examples != found:
            yield (
                f"{name} was trained on {examples} examples, but this dataset has {found} training "
                "examples: the model may have been trained on some of the evaluated examples, "
                "which makes the numbers too optimistic."
            )
