"""One's own architecture: `py:FILE.py:factory` calls a function of a Python file, and so runs its code."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel, RepauditError, nearest
from repaudit.foreign import place, said
from repaudit.sources import Draft, Source
from repaudit.sources._construct import construct, parameter_names
from repaudit.sources._preprocess import from_mapping
from repaudit.sources._state import file_sha256

if TYPE_CHECKING:
    from repaudit.preprocessing import Preprocess
    from repaudit.sources import ModelRequest


def open_factory(name: str, request: ModelRequest) -> Draft:
    """The network that the factory returns, with `--set model.<argument>` as its arguments.

    Raises:
        InvalidModel: no such file or function, an argument it does not take, or a failure inside.
    """
    filename, colon, function = name.rpartition(":")
    if not colon or not filename.endswith(".py") or not function.isidentifier():
        raise InvalidModel(f"`py:{name}` names no factory", remedy="py:FILE.py:factory, such as py:net.py:make_net")
    path = Path(filename)
    if not path.is_file():
        raise InvalidModel(f"there is no file `{path}`", remedy="py:FILE.py:factory with the path of your file")
    with _importable(path.parent):
        module = _load(path)
        factory = getattr(module, function, None)
        if not callable(factory):
            known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            near = nearest(function, known, 1) or known[:1]
            raise InvalidModel(
                f"`{path}` has no function `{function}`",
                detail="it has " + (", ".join(known[:8]) or "none"),
                remedy=f"py:{path}:{near[0]}" if near else f"a function `{function}` that returns the network",
            )
        what, known = f"`py:{name}`", parameter_names(factory)
        network = construct(factory, request.arguments, what=what, known=known, files=[path.name])
        files = _files(path)
    return Draft(
        network=network,
        resolved=f"py:{path.name}:{function}",
        source="py",
        architecture=f"py:{path.name}:{function}",
        preprocess=_declared(module, path),
        files=files,
        notes=(f"ran the code of {path.name}",),
    )


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Lets the file import its neighbours, as it could if it were run."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _load(path: Path) -> ModuleType:
    # Named by content: an edited file is a new module, and no installed package is hidden.
    name = f"_repaudit_{path.stem}_{file_sha256(path)[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidModel(f"`{path}` is no Python file", remedy="py:FILE.py:factory")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # a script that calls sys.exit() must not set our exit status
        del sys.modules[name]
        if isinstance(error, RepauditError | KeyboardInterrupt | MemoryError):
            raise
        where = place(error, [path.name])
        raise InvalidModel(
            f"`{path}` could not be imported",
            detail=said(error) + ("" if where is None else f"\nraised in {where}"),
            remedy=f"python {path}   (it must run without an error)"
            if isinstance(error, Exception)
            else 'what ends the program under `if __name__ == "__main__":`',
        ) from error
    return module


def _files(path: Path) -> dict[str, str]:
    """Hashes of the file and of the neighbours it imported: they are part of what was measured."""
    folder = path.resolve().parent
    files = {path.name: file_sha256(path)}
    for module in list(sys.modules.values()):
        place = getattr(module, "__file__", None)
        if not isinstance(place, str) or not place.endswith(".py"):
            continue
        neighbour = Path(place)
        installed = {"site-packages", "dist-packages", "repaudit"} & set(neighbour.parts)
        if neighbour.is_relative_to(folder) and not installed and neighbour.is_file():
            files[neighbour.relative_to(folder).as_posix()] = file_sha256(neighbour)
    return files


def _declared(module: ModuleType, path: Path) -> Preprocess | None:
    declared = getattr(module, "preprocess", None)
    if declared is None or callable(declared):
        return None
    if not isinstance(declared, Mapping):
        raise InvalidModel(
            f"`preprocess` of `{path}` is {type(declared).__name__}, not a dict",
            remedy='preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}',
        )
    return from_mapping(declared, path.name)


source = Source(
    summary="a function of one's own Python file that returns the network (runs its code)",
    examples=("py:net.py:make_net", "weights.pth --arch py:net.py:make_net"),
    open=open_factory,
    build=open_factory,
)
