"""JSON schemas of dataclasses as written by `json_content`."""

import dataclasses
import types
import typing
from typing import Annotated, Any

import docstring_parser

from trainer.evaluation.json_content import INLINE

_PLAIN = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Any: {},
}


class Schemas:
    """Creates schemas; those of dataclasses are collected in `definitions`."""

    def __init__(self, written_as=None):
        """`written_as` maps a dataclass to the one that is written in its place."""
        self.definitions = {}
        self._written_as = written_as or {}

    def of(self, annotation):
        """Returns the schema of a type annotation."""
        if annotation in _PLAIN:
            return dict(_PLAIN[annotation])
        if dataclasses.is_dataclass(annotation):
            return self._reference(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            return self.of(arguments[0])
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self._or_null(one) for one in arguments]}
        if origin is typing.Literal:
            return {"enum": list(arguments)}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin is tuple and arguments[-1] is not Ellipsis:
            items = [self.of(one) for one in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
        if origin in (list, tuple):
            return {"type": "array", "items": self.of(arguments[0])}
        raise TypeError(f"no schema for {annotation}")

    def content(self, cls):
        """Returns the schema of a dataclass' fields, including those of inlined dataclasses."""
        content = {"type": "object", **_closed({})}
        hints = typing.get_type_hints(cls, include_extras=True)
        told = {one.arg_name: one.description for one in docstring_parser.parse(cls.__doc__).params}
        for field in dataclasses.fields(cls):
            hint = hints[field.name]
            if INLINE in getattr(hint, "__metadata__", ()):
                add(content, self._inlined(typing.get_args(hint)[0]))
            else:
                schema = self.of(hint) | _description(told.get(field.name))
                add(content, _closed({field.name: schema}))
        return content

    def _inlined(self, annotation):
        if dataclasses.is_dataclass(annotation):
            return self.content(annotation)
        return _closed({}) | self.of(annotation)

    def _reference(self, cls):
        cls = self._written_as.get(cls, cls)
        name = cls.__name__.lstrip("_")
        if name not in self.definitions:
            self.definitions[name] = {}  # A dataclass may contain itself.
            self.definitions[name] = self.content(cls)
        return {"$ref": f"#/$defs/{name}"}

    def _or_null(self, annotation):
        return {"type": "null"} if annotation is types.NoneType else self.of(annotation)


def add(content, other):
    """Adds another object's properties, which replace those of the same name."""
    content["properties"] |= other["properties"]
    content["required"] = list(dict.fromkeys([*content["required"], *other["required"]]))
    content["additionalProperties"] = (
        content["additionalProperties"] or other["additionalProperties"]
    )


def _closed(properties):
    return {
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _description(text):
    return {"description": " ".join(text.split())} if text else {}
