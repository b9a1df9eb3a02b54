"""Writes `datasheet.md`, the datasheet of a built dataset.

The questions are those of Gebru et al. (2021), "Datasheets for Datasets", Communications of the ACM
64(12), in short words. The builder answers what it has counted or done; people provide the other
answers.
"""

import collections
import html
from collections.abc import Iterable, Mapping, Sequence

from etils import epath

from cxr_command.foreign_text import one_line

from . import survey

NAME = "datasheet.md"
# The answer to unanswered questions.
UNKNOWN = "unknown"
_TO_BE_WRITTEN = "To be written by whoever collected it."
_SPLITS = ("train", "validation", "test")

QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "Motivation": {
        "purpose": "What was it made for?",
        "creators": "Who made it, and for whom?",
        "funding": "Who paid?",
    },
    "Composition": {
        "instances": "What is an example?",
        "number": "How many are there?",
        "sample": "All that exist, or a sample of what?",
        "features": "What does an example consist of?",
        "label": "What is its label?",
        "missing": "What is missing?",
        "relations": "How are examples related?",
        "splits": "Which splits are there?",
        "errors": "Which errors and copies are there?",
        "self_contained": "Does it need anything else?",
        "confidential": "Is anything confidential?",
        "offensive": "Could anything hurt those who see it?",
        "subpopulations": "Which groups of people are there?",
        "identifiable": "Can people be recognised?",
        "sensitive": "Is anything sensitive?",
    },
    "Collection": {
        "acquired": "How was it acquired?",
        "mechanisms": "With which devices and procedures?",
        "sampling": "How was the sample drawn?",
        "collectors": "Who collected it, and were they paid?",
        "time": "When?",
        "ethics": "Was there an ethical review?",
        "directly": "Directly from the people, or from others?",
        "notified": "Were the people told?",
        "consent": "Did they consent?",
        "revoke": "Can they withdraw?",
        "impact": "Was the impact on them examined?",
    },
    "Preprocessing": {
        "preprocessing": "What was done to the data?",
        "raw": "Are the raw data kept?",
        "software": "Where is the software?",
    },
    "Uses": {
        "used": "What was it used for?",
        "papers": "Where are those uses listed?",
        "tasks": "What else could it be used for?",
        "composition_effects": "What about it affects later uses?",
        "not_for": "What must it not be used for?",
    },
    "Distribution": {
        "third_parties": "Is it given to others?",
        "how": "How?",
        "when": "Since when?",
        "license": "Under which terms?",
        "third_party_terms": "Which terms of others hold?",
        "export": "Is its export restricted?",
    },
    "Maintenance": {
        "host": "Who keeps it?",
        "contact": "Whom can one ask?",
        "erratum": "Is there an erratum?",
        "updates": "Is it updated?",
        "retention": "Must it be deleted at some time?",
        "older": "Are older versions kept?",
        "extend": "Can others add to it?",
    },
}


def write(
    folder: epath.Path,
    name: str,
    description: str,
    examples: Sequence[survey.Example],
    told: Mapping[str, str],
) -> None:
    """Writes the datasheet.

    `SHA256SUMS` does not list it, so that the collectors of the radiographs may complete it.

    Args:
      folder: The folder of a built dataset.
      name: The dataset's full name.
      description: What the configuration does to the radiographs.
      examples: All of its examples.
      told: Answers provided by people, by the question's name in `QUESTIONS`; under `UNKNOWN`, the
        answer to all other questions.
    """
    answers = {**_counted(examples), **_done(description), **told}
    unknown = told.get(UNKNOWN, _TO_BE_WRITTEN)
    lines = [
        f"# Datasheet: {name}",
        "",
        "The questions are those of Gebru et al. (2021), https://doi.org/10.1145/3458723, in short "
        "words. A new build writes this file anew: keep elsewhere what you add.",
    ]
    for section, questions in QUESTIONS.items():
        lines += ["", f"## {section}", "", "| question | answer |", "|---|---|"]
        lines += [f"| {asked} | {answers.get(key, unknown)} |" for key, asked in questions.items()]
        if section == "Composition":
            lines += _tables(examples)
    (folder / NAME).write_text("\n".join(lines) + "\n")


def _counted(examples: Sequence[survey.Example]) -> dict[str, str]:
    """Returns the answers that are counted."""
    groups = collections.Counter(one.group for one in examples)
    several = [count for count in groups.values() if count > 1]
    copies = len(examples) - len({one.sha256 for one in examples})
    masks = sum(one.radiograph.mask is not None for one in examples)
    nowhere = sum(one.radiograph.source == "unknown" for one in examples)
    torn = len({(one.group, one.split) for one in examples}) - len(groups)
    splits = collections.Counter(one.split for one in examples)
    return {
        "number": f"{len(examples):,} radiographs, {masks:,} of them with a lung mask. Tables of "
        "classes, splits and sources are below.",
        "missing": f"{len(examples) - masks:,} radiographs have no lung mask, {nowhere:,} no known "
        "source. Sex, age, view, device and date are not stored.",
        "relations": f"{len(several):,} group{'' if len(several) == 1 else 's'} of "
        f"{sum(several):,} radiographs, each of one patient where patients are told, or of copies "
        "of one picture. The others stand alone.",
        "splits": ", ".join(f"{split} {splits[split]:,}" for split in _SPLITS)
        + f"; groups that lie in more than one: {torn}. splits.csv lists every radiograph.",
        "errors": f"{copies:,} files have the same bytes as another one. Copies are grouped and "
        "kept; mirrored or rotated ones are not looked for. Labels were not examined.",
        "subpopulations": "Sources or sites, see below.",
    }


def _done(description: str) -> dict[str, str]:
    """Returns the answers about the builder's processing, the same for all radiographs."""
    return {
        "instances": "A chest radiograph.",
        "features": "The picture, its lung mask if there is one, class, source or site, id, group, "
        "height and width of the file.",
        "label": "A class, by the folder or the table that the radiograph stands in.",
        "self_contained": "No: pixels and labels are in these files.",
        "confidential": "Nobody looked for names or dates that are burnt into the pictures.",
        "identifiable": "No name is stored, unless ids, paths or sites hold one. Whether a "
        "radiograph itself gives a person away was not examined.",
        "sensitive": "Yes: pictures of people's bodies, with diagnoses.",
        "preprocessing": _shown(description),
        "raw": "Yes: the manual directory is only read.",
        "software": "cxr_tfds, the package that built it.",
        "not_for": "For research only: nothing trained on it may guide the care of a patient.",
        "how": "The builder gives it to nobody.",
    }


def _tables(examples: Sequence[survey.Example]) -> list[str]:
    labels = sorted({one.radiograph.label for one in examples})
    sources = sorted({one.radiograph.source for one in examples})
    return [
        *_table(
            "class", labels, _SPLITS, ((one.radiograph.label, one.split) for one in examples)
        ),
        *_table(
            "source", sources, labels,
            ((one.radiograph.source, one.radiograph.label) for one in examples),
        ),
    ]  # fmt: skip


def _table(
    corner: str, rows: Sequence[str], columns: Sequence[str], keys: Iterable[tuple[str, str]]
) -> list[str]:
    counts = collections.Counter(keys)
    head = " | ".join([corner, *map(_shown, columns)])
    return [
        "",
        f"| {head} |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {' | '.join([_shown(row), *(f'{counts[row, column]:,}' for column in columns)])} |"
            for row in rows
        ),
    ]


def _shown(text: str) -> str:
    """Escapes a user-chosen name for plain text in a table."""
    return html.escape(one_line(text)).replace("|", "\\|").replace("_", "\\_")
