"""The rows of `report_checklist.md`: the items of TRIPOD+AI and CLAIM, with known answers.

The template contains the items, in the order and with the numbers of

    Collins et al., "TRIPOD+AI statement", BMJ 2024;385:e078378 (27 items, 52 with their parts)
    Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update",
    Radiology: Artificial Intelligence 2024;6(4):e240300 (44 items)

in its own wording.
"""

from markupsafe import Markup

from trainer import markdown
from trainer.evaluation.checklist_facts import facts
from trainer.evaluation.sentences import Content

AUTHORS = "To be completed by the authors"
# Request to the authors for a fact that the report does not contain.
_ASKED = {
    "trained_on": "the training data",
    "unit": "which radiographs belong to one patient, and that no patient is in two partitions",
    "population": "the patient population",
    "characteristics": "sites, sex, age, view and device",
    "sources": "the source of each radiograph",
    "difference": "how the data differ from the training data",
    "input": "the input",
    "network": "the network",
    "weights": "the initial weights",
    "training": "the training settings",
    "selection": "how the final epoch was selected",
    "imbalance": "handling of class imbalance",
    "software": "the training software",
    "files": "availability of the model",
    "at_threshold": "the decision threshold",
    "subgroups": "performance by site, sex, age, view and device",
    "by_source": "performance by centre",
    "robustness": "robustness analyses",
    "interpretation": "the interpretation of the results",
}


class Checklist:
    """Writes the rows of the checklist's tables.

    Attributes:
        facts: maps names to facts of the report; None if unknown.
    """

    def __init__(self, report: Content) -> None:
        """Collects the facts for the checklist.

        Args:
            report: the content of report.json.
        """
        self.facts = facts(report)

    def row(self, number: str, asks: str, known: str = "", authors: str = "") -> Markup:
        """Formats the row of an item.

        Args:
            number: number of the item.
            asks: what the item asks for.
            known: names of facts, separated by spaces.
            authors: what the authors must add; `all` for an item that no fact answers.

        Returns:
            A line of Markdown.
        """
        names = known.split()
        told = [fact for name in names if (fact := self.facts[name])]
        asked = [_ASKED[name] for name in names if not self.facts[name]] + [authors] * bool(authors)
        if asked:
            told.append(f"{AUTHORS}." if asked == ["all"] else f"{AUTHORS}: {'; '.join(asked)}.")
        cells = " | ".join(map(markdown.escape, (number, asks, " ".join(told))))
        return Markup(f"| {cells} |")  # noqa: S704 - it is Markdown, and escaped.
