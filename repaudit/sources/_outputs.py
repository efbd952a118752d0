"""Which of several outputs of a program holds the logits: asked, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from repaudit.errors import InvalidModel, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.sources._contract import ModelRequest

OUTPUT = "output"
"""The argument that chooses."""
MOST_SHOWN = 4
_TELLING = re.compile(r"logit|class|prob|score|pred", re.IGNORECASE)
"""In names that people give to the output of a classifier."""
Leaf = TypeVar("Leaf")


def asked_output(request: ModelRequest, what: str) -> str | None:
    """The output that `--set model.output=…` names; None where nothing is said.

    Args:
        request: with its arguments.
        what: as errors call such a file, such as `an ONNX file`.

    Raises:
        InvalidModel: an argument other than `output`.
    """
    foreign = [key for key in request.arguments if key != OUTPUT]
    if foreign:
        raise InvalidModel(
            f"`--set model.{foreign[0]}`: {what} takes no such argument",
            remedy="--set model.output=NAME   (which of several outputs holds the logits)",
        )
    chosen = request.arguments.get(OUTPUT)
    return None if chosen is None else str(chosen)


def leaves(answer: object, kind: type[Leaf]) -> dict[str, Leaf]:
    """The outputs of a kind by their names: keys of dicts, numbers of what is counted, joined by a point.

    Args:
        answer: tuples, lists and dicts of outputs; other things among them are none.
        kind: of an output.
    """
    return dict(_leaves(answer, kind, ""))


def _leaves(answer: object, kind: type[Leaf], name: str) -> Iterator[tuple[str, Leaf]]:
    if isinstance(answer, kind):
        yield name or "0", answer
    elif isinstance(answer, Mapping):
        for key, value in answer.items():
            yield from _leaves(value, kind, f"{name}.{key}".removeprefix("."))
    elif isinstance(answer, list | tuple):
        for number, value in enumerate(answer):
            yield from _leaves(value, kind, f"{name}.{number}".removeprefix("."))


def chosen(outputs: Mapping[str, Leaf], output: str | None, name: str) -> Leaf:
    """The only output, or the one that was asked for.

    Args:
        outputs: by name.
        output: a name; None where there is one.
        name: how errors call the file.

    Raises:
        InvalidModel: there are several and none is named, or there is none of that name.
    """
    if output is None and len(outputs) == 1:
        return next(iter(outputs.values()))
    if output is not None and output in outputs:
        return outputs[output]
    likely = nearest(output, list(outputs), 1) if output else [each for each in outputs if _TELLING.search(each)]
    shown = likely[:1] or list(outputs)[:MOST_SHOWN] or ["NAME"]
    raise InvalidModel(
        f"`{name}` has {len(outputs)} outputs" if output is None else f"`{name}` has no output `{output}`",
        detail=f"outputs: {', '.join(outputs) or 'none that is a tensor'}",
        remedy=" or ".join(f"--set model.output={each}" for each in shown) + "   (the one that holds the logits)",
    )
