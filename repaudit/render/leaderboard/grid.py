"""A table of models and metrics that is turned, or cut into blocks, where it does not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.text import Text

from repaudit.render.table import GAP, TableColumn, lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

_MODEL = 14
"""Characters down to which the name of a model is folded."""
_METRIC = 40
"""Characters down to which the name of a metric is folded: those of attacks differ in all their length."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells with a name for each row and each column."""

    corner: str
    """Title of the column of names."""
    names: Sequence[str]
    """Of the rows."""
    heads: Sequence[str]
    """Of the columns."""
    cells: Sequence[Sequence[Text]]
    """By row, then by column."""
    names_least: int = _MODEL
    """Characters down to which names of rows are folded."""
    heads_least: int = _METRIC
    """The same of columns."""

    def turned(self, corner: str) -> Grid:
        """Metrics down, models across."""
        return Grid(corner, self.heads, self.names, list(zip(*self.cells, strict=True)), _METRIC, _MODEL)

    def block(self, places: Sequence[int]) -> Grid:
        """Only these columns."""
        return replace(
            self, heads=[self.heads[at] for at in places], cells=[[row[at] for at in places] for row in self.cells]
        )

    def fits(self, width: int) -> bool:
        """Whether it can be folded to `width` characters."""
        return self._needed(range(len(self.heads))) <= width

    def blocks(self, width: int, always: Sequence[int] = ()) -> Iterator[Grid]:
        """Blocks of columns of at most `width` characters each, in order.

        Args:
            width: of a block; one column at least is in each.
            always: places of columns that stand in every block.
        """
        left = [at for at in range(len(self.heads)) if at not in always]
        while left:
            count = 1
            while count < len(left) and self._needed(sorted([*always, *left[: count + 1]])) <= width:
                count += 1
            yield self.block(sorted([*always, *left[:count]]))
            left = left[count:]

    def lines(self, console: Console, width: int) -> list[Text]:
        """The table as text."""
        columns = [
            TableColumn(self.corner, narrowest=self.names_least),
            *(TableColumn(head, narrowest=self._least(at)) for at, head in enumerate(self.heads)),
        ]
        rows = [[Text(name), *cells] for name, cells in zip(self.names, self.cells, strict=True)]
        return lay_out(columns, rows, console, width)

    def _needed(self, places: Sequence[int]) -> int:
        names = max((len(name) for name in (self.corner, *self.names)), default=0)
        return min(names, self.names_least) + sum(len(GAP) + self._least(at) for at in places)

    def _least(self, at: int) -> int:
        cells = max((row[at].cell_len for row in self.cells), default=0)
        return max(cells, min(len(self.heads[at]), self.heads_least))
