"""Writes a gallery of a run's explanations, with scores."""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from absl import logging

from trainer.explain.explanation import BATCH, Explainer, Explanation
from trainer.explain.faithfulness import randomisation_check
from trainer.explain.gallery import Gallery
from trainer.explain.heatmap_metrics import HOW_TO_READ_RANDOMISATION
from trainer.explain.speed import images_per_second


def write_gallery(
    explainer: Explainer, explanations: Iterable[Explanation], directory: pathlib.Path, command: str
) -> None:
    """Writes panels, raw heatmaps, their index and page as explanations are computed.

    Args:
        explainer: the explainer.
        explanations: its explanations, at least one.
        directory: output directory, created if missing.
        command: the command line that creates the gallery.

    Raises:
        UserError: there is nothing to explain, or the gallery cannot be written.
    """
    method, options = explainer.method, explainer.options
    first: list[tuple[np.ndarray, int]] = []
    with Gallery(directory, explainer.class_names, options.method, method.layer_name) as gallery:
        for one in explanations:
            gallery.add(
                one.example, one.heatmap, one.heat, one.probabilities, one.target, one.numbers
            )
            first += [(one.example.image, one.target)][: BATCH - len(first)]
        images, targets = map(np.array, zip(*first, strict=True))
        logging.info("measuring the speed; comparing with shuffled weights")
        speed = images_per_second(method, images[0])
        check = randomisation_check(method, explainer.best.network, images, targets, options.seed)
        check["how_to_read"] = HOW_TO_READ_RANDOMISATION
        _log(gallery.finish(_about(explainer, speed, command), check))
    if explainer.images:
        logging.info(explainer.account.told())
    logging.info("gallery: %s", directory / "index.html")


def _about(explainer: Explainer, speed: dict[str, float], command: str) -> dict[str, Any]:
    config, options = explainer.content["config"], explainer.options
    return {
        "note": options.note,
        "run": str(explainer.run.path),
        "model": config["model"],
        "model_sha256": explainer.best.sha256,
        "source": ", ".join(explainer.images or [f"{config['dataset']} {options.split}"]),
        "target": options.target,
        "caution": explainer.method.caution,
        "seed": options.seed,
        "images_per_second": speed,
        "command": command,
        "left_out": len(explainer.account.left_out),
    }


def _log(summary: dict[str, Any]) -> None:
    for size, rate in summary["images_per_second"].items():
        logging.info(
            "%s, %s: %.1f images/s in batches of %s",
            summary["model"], summary["method"], rate, size,
        )  # fmt: skip
    logging.info("%d of %d heatmaps are all zero", summary["empty_heatmaps"], summary["images"])
    for name, check in summary["checks"].items():
        if check and "chance" in check:
            logging.info("%s %.3f, by chance %.3f", name, check["mean"], check["chance"])
    check = summary["checks"]["randomisation"]
    if check["passes"] is not None:
        logging.info(
            "randomised weights: rank correlation %.3f, %s",
            check["rank_correlation"], "passed" if check["passes"] else "failed",
        )  # fmt: skip
