"""Renders a report's page, model cards and checklist from templates."""

import base64
import pathlib
from typing import Any

from trainer import templates
from trainer.evaluation import (
    calibration_error,
    conformal,
    formats,
    metrics,
    operating_point,
    sentences,
    shortcuts,
)
from trainer.evaluation.checklist import AUTHORS, Checklist
from trainer.evaluation.contents import with_contents
from trainer.evaluation.population import population
from trainer.evaluation.summary import summarize

_ENVIRONMENT = templates.environment("trainer.evaluation")


def render_page(report: dict[str, Any], directory: pathlib.Path) -> str:
    """Renders report.html with its plots embedded.

    Args:
        report: the content of report.json.
        directory: directory of the report's plots.

    Returns:
        One self-contained HTML page.
    """

    def picture(path: str) -> str:
        content = base64.b64encode((directory / path).read_bytes()).decode()
        return f"data:image/png;base64,{content}"

    return _ENVIRONMENT.get_template("report.html").render(
        report=report,
        picture=picture,
        summary=summarize(report),
        with_contents=with_contents,
        headline=metrics.HEADLINE,
        per_class=metrics.PER_CLASS,
        point_metrics=operating_point.METRICS,
        set_metrics=conformal.METRICS,
        views=shortcuts.VIEWS,
        debiased_label=calibration_error.LABEL,
        equal_mass_bins=calibration_error.BINS,
    )


def render_model_card(report: dict[str, Any], name: str) -> str:
    """Renders model_card.md.

    Args:
        report: the content of report.json.
        name: the model's name in it.

    Returns:
        Markdown.
    """
    model = report["models"][name]
    weakest = (sentences.worst_class(model), sentences.worst_part(model))
    run = model["run_config"]
    return _ENVIRONMENT.get_template("model_card.md").render(
        **{key: report[key] for key in ("research_use", "note", "class_names")},
        report=report,
        model=model,
        headline=metrics.HEADLINE,
        weakest=filter(None, weakest),
        population=population(run["config"]["dataset"]) if run else None,
    )


def render_checklist(report: dict[str, Any]) -> str:
    """Renders report_checklist.md.

    Args:
        report: the content of report.json.

    Returns:
        Markdown.
    """
    return _ENVIRONMENT.get_template("report_checklist.md").render(
        report=report, row=Checklist(report).row, authors=AUTHORS
    )


def _label(name: str) -> str:
    """Returns a metric's display name."""
    return next(
        metric.label for metric in (*metrics.HEADLINE, *metrics.PER_CLASS) if metric.name == name
    )


_ENVIRONMENT.filters.update(
    percent=formats.percent,
    number=formats.number,
    interval=formats.interval,
    p_value=formats.p_value,
    label=_label,
)
