"""Reads the data of figures: a report is foreign, and what does not fit is left out instead of drawn wrong."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

LONGEST = 25_000
"""Entries of a list at most: the classes of ImageNet-21k fit."""

Number: TypeAlias = Annotated[float, Field(ge=-1e9, le=1e9)]
Size: TypeAlias = Annotated[float, Field(ge=0, le=1e9)]
Scale: TypeAlias = Annotated[float, Field(ge=1e-6, le=1e6)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Cosine: TypeAlias = Annotated[float, Field(ge=-1.00001, le=1.00001)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=10**12)]
Item = TypeVar("Item")
Column: TypeAlias = Annotated[list[Item], Field(max_length=LONGEST)]


class Data(BaseModel):
    """Part of a figure's data; keys that it does not name are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)
    aligned: ClassVar[tuple[str, ...]] = ()
    """Lists of one common length, at least 1."""
    edges_of: ClassVar[str | None] = None
    """A list of rising numbers, longer by one."""

    @model_validator(mode="after")
    def _fits(self) -> Data:
        lengths = {len(getattr(self, name)) for name in self.aligned if getattr(self, name) is not None}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError("lists of differing lengths, or empty ones")
        if self.edges_of is not None:
            edges: list[float] = getattr(self, self.edges_of)
            rising = all(low < high for low, high in pairwise(edges))
            if len(edges) != lengths.pop() + 1 or not rising:
                raise ValueError("the edges do not enclose the bins")
        return self


DataT = TypeVar("DataT", bound=Data)


def read(kind: type[DataT], value: JsonValue) -> DataT | None:
    """The data in the form `kind`; None where they are missing or do not fit."""
    try:
        return kind.model_validate(value)
    except ValidationError:
        return None
