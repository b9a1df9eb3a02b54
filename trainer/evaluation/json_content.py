"""Dataclasses as the content of a JSON file."""

import dataclasses
from typing import Any

# In a field's `Annotated`: the keys of its value stand in place of its name.
INLINE = "inline"


def json_content(value: Any) -> Any:
    """Turns dataclasses into what `json` writes.

    Args:
        value: a dataclass, or what may hold some.

    Returns:
        The same of dictionaries and lists, keys in the order of the fields.
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
