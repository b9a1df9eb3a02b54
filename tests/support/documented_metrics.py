"""The metrics that docs/results.md lists; this module updates them if run with `python -m`."""

import pathlib
import re

from trainer.evaluation import metrics

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "results.md"
_TABLE = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- end -->)", re.DOTALL)


def documented(page):
    """A page with the table of metrics as the code has it."""
    rows = [
        f"| `{metric.name}` | {metric.label} | {of} | "
        f"{'higher' if metric.higher_is_better else 'lower'} |"
        for of, listed in (("all classes", metrics.HEADLINE), ("each class", metrics.PER_CLASS))
        for metric in listed
    ]
    table = ["| name in `report.json` | metric | of | better |", "|---|---|---|---|", *rows]
    return _TABLE.sub(lambda _: "\n".join(table) + "\n", page)


if __name__ == "__main__":
    PAGE.write_text(documented(PAGE.read_text()))
