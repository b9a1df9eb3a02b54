"""The model card of an exported model."""

import pathlib
from typing import Any

from trainer import templates
from trainer.errors import UserError


def read_card(path: str, model_sha256: str) -> str:
    """Reads a card that `trainer.evaluate` wrote for this model.

    Args:
        path: the file.
        model_sha256: SHA-256 of the run's model.keras.

    Returns:
        Markdown.

    Raises:
        UserError: the file is missing, or is the card of another model.
    """
    try:
        card = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--model_card={path} is not a readable text file") from error
    if model_sha256 not in card:
        raise UserError(
            f"--model_card={path} does not name this run's model.keras (SHA-256 {model_sha256}); "
            "expected the card that trainer.evaluate wrote of it"
        )
    return card


def render_card(about: dict[str, Any]) -> str:
    """Renders a card without results, for a model that has not been evaluated.

    Args:
        about: the content of export.json.

    Returns:
        Markdown.
    """
    network = about["run_config"]["config"]["model"]
    return (
        templates.environment("trainer")
        .get_template("card.md")
        .render(
            research_use=templates.RESEARCH_USE,
            note="",
            class_names=about["class_names"],
            model={"name": network, "model": network, **about},
        )
    )
