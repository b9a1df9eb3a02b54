"""Renders the page of a study's report from its template."""

import base64
import pathlib
from typing import Any

from trainer import templates
from trainer.evaluation import formats
from trainer.evaluation.contents import with_contents
from trainer.evaluation.study.run_metrics import METRICS

_ENVIRONMENT = templates.environment("trainer.evaluation")
_ENVIRONMENT.filters.update(
    percent=formats.percent,
    number=formats.number,
    interval=formats.interval,
    p_value=formats.p_value,
)


def render_page(report: dict[str, Any], directory: pathlib.Path) -> str:
    """Renders report.html with its plot embedded.

    Args:
        report: the content of the study's report.json.
        directory: directory of the report's plot.

    Returns:
        One self-contained HTML page.
    """
    picture = base64.b64encode((directory / report["picture"]).read_bytes()).decode()
    return _ENVIRONMENT.get_template("study.html").render(
        report=report,
        picture=f"data:image/png;base64,{picture}",
        with_contents=with_contents,
        metrics=METRICS,
    )
