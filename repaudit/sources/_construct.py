"""Calling an architecture with keyword arguments that a person typed."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn

from repaudit.errors import InvalidModel, RepauditError, nearest
from repaudit.foreign import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from repaudit.sources._contract import ArgumentValue


def construct(
    factory: Callable[..., object],
    arguments: Mapping[str, ArgumentValue],
    *,
    what: str,
    known: Iterable[str] = (),
    files: Iterable[str] = (),
) -> nn.Module:
    """Calls a factory without moving the global random state, and blames an unknown argument by name.

    Args:
        factory: returns the network.
        arguments: its keyword arguments.
        what: the factory as the person called it, for messages.
        known: names of arguments it would take, as far as they can be had.
        files: names of a user's own files in which it is written, for messages.

    Raises:
        InvalidModel: an argument it does not take, any failure inside, or something that is no network.
    """
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # Remarks on random initialisation concern people who train; here the weights are replaced.
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"torchvision\.")
            warnings.filterwarnings("ignore", category=UserWarning, message="Mapping deprecated model name")
            network = factory(**arguments)
    except (RepauditError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a factory that calls sys.exit() must not set our exit status
        raise _blame(error, arguments, what, known, list(files)) from error
    if isinstance(network, torch.jit.ScriptModule):
        raise InvalidModel(
            f"{what} returned a TorchScript program, which can be neither frozen nor split",
            remedy="a factory that returns the torch.nn.Module it was scripted from",
        )
    if not isinstance(network, nn.Module):
        raise InvalidModel(
            f"{what} returned {type(network).__name__}, not a torch.nn.Module",
            remedy="`return` the network at the end of the factory",
        )
    return network


def parameter_names(factory: object) -> list[str]:
    """Names of the keyword arguments in a signature; empty where it has none to show."""
    if not callable(factory):
        return []
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter.name for parameter in parameters if parameter.kind in named and parameter.name != "self"]


def _blame(
    error: BaseException, arguments: Mapping[str, ArgumentValue], what: str, known: Iterable[str], files: list[str]
) -> InvalidModel:
    unexpected = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if isinstance(error, TypeError) and unexpected and unexpected[1] in arguments:
        asked = unexpected[1]
        near = nearest(asked, known, 1)
        value = arguments[asked]
        return InvalidModel(
            f"{what} takes no argument `{asked}`",
            detail=f"{type(error).__name__}: {error}",
            remedy=f"--set model.{near[0]}={value}" if near else f"the command without --set model.{asked}={value}",
        )
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    where = place(error, files)
    remedy = "other --set model.<argument>=<value>"
    if not isinstance(error, Exception):
        remedy = "a factory that returns the network and does not end the program"
    elif where is not None:
        remedy = f"mend it there, or {remedy}"
    return InvalidModel(
        f"{what} could not be built" + (f" with {given}" if given else ""),
        detail=f"{type(error).__name__}: {error}" + ("" if where is None else f"\nraised in {where}"),
        remedy=remedy,
    )
