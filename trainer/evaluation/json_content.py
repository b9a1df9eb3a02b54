"""Conversion of dataclasses to JSON content."""

import dataclasses
from typing import Any

# Marks a field, in its `Annotated`, whose keys are merged into the parent object.
INLINE = "inline"


def json_content(value: Any) -> Any:
    """Converts dataclasses to objects that `json` can write.

    Args:
        value: a dataclass, or a container that may hold dataclasses.

    Returns:
        The same content as dictionaries and lists, with keys in the order of the fields.
    """
    if dataclasses.is_dataclass(value):
        content: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            inner = json_content(getattr(value, field.name))
            inline = INLINE in getattr(field.type, "__metadata__", ())
            content |= inner if inline else {field.name: inner}
        return content
    if isinstance(value, dict):
        return {name: json_content(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_content(inner) for inner in value]
    return value
