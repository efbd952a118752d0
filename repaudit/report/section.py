"""What all parts of a report have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, JsonValue

T = TypeVar("T")


class Section(BaseModel):
    """A part of the report: frozen, finite, and blind to the keys that a later minor version adds."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        from_attributes=True,
        use_attribute_docstrings=True,
    )


def unicode_text(value: object) -> object:
    """Replaces what UTF-8 cannot hold (a file name's stray bytes) by its escape; leaves other types alone."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _in_order(values: dict[str, T]) -> dict[str, T]:
    return dict(sorted(values.items()))


Text = Annotated[str, BeforeValidator(unicode_text)]
Sorted = Annotated[dict[Text, T], AfterValidator(_in_order)]
"""A mapping whose keys stand in alphabetical order, whatever order they came in."""


def json_value(value: object, where: str) -> JsonValue:
    """The same value in the types that JSON knows.

    Args:
        value: nested mappings, sequences, numpy arrays and scalars.
        where: how an error names it.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value has no counterpart in JSON.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(unicode_text(str(value)))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"`{where}` is {value}: JSON has no such number, use None")
        return float(value)
    if isinstance(value, Mapping):
        return {str(unicode_text(str(key))): json_value(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence):
        return [json_value(item, f"{where}[{row}]") for row, item in enumerate(value)]
    raise TypeError(f"`{where}` is a {type(value).__name__}, which JSON has not")
