"""The limitations listed at the top of a report."""

from collections.abc import Iterator, Mapping

import numpy as np

from trainer.data.examples import Examples

# With fewer examples, a report adds a caution.
_FEW = 100


def remarks(
    examples: Examples,
    split: str | None,
    seen: int,
    train_examples: Mapping[str, int],
    trained_on: dict[str, int],
) -> list[str]:
    """Lists the limitations of the results.

    Args:
        examples: the evaluated examples.
        split: their split; None for a user's own images.
        seen: number of examples that the runs were trained or validated on.
        train_examples: number of available training examples by run name; empty for a user's own
            images.
        trained_on: number of examples actually trained on, by run name.

    Returns:
        Texts of one or two sentences.
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
