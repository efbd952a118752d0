"""From a name, a file or the working directory to what a scan runs: `extends`, `--audits`, `--set`, `--limit`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pydantic import JsonValue

from repaudit import shipped
from repaudit.errors import InvalidProfile, nearest
from repaudit.profiles.document import Document, ProfileFile, read, read_gate
from repaudit.profiles.origins import chosen_by_hand, located, origins_of, set_by_hand
from repaudit.profiles.settings import apply_settings, split_settings
from repaudit.profiles.waiver import Waiver, read_waiver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.profiles.document import Place
    from repaudit.profiles.gate import Gate
    from repaudit.profiles.origins import Origins
    from repaudit.profiles.settings import Argument

DEFAULT = "quick"
DISCOVERED = ("repaudit.yaml", "pyproject.toml")
"""Looked for in every folder from the working directory up to the repository's root, in this order."""

Values: TypeAlias = dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedProfile:
    """Everything that a scan does, whatever way it was asked for."""

    name: str
    """Of a shipped profile, else of the file."""
    path: Path | None
    """The file it was read from; None for a shipped profile."""
    sha256: str
    """Over the canonical JSON of `resolved`: equal for equal work."""
    resolved: Mapping[str, JsonValue]
    """JSON values, as the report keeps them."""
    audits: Mapping[str, Mapping[str, JsonValue]]
    """Raw parameters by audit, in the order in which the audits run."""
    gates: tuple[Gate, ...]
    waivers: tuple[Waiver, ...]
    limit: int | None
    """Images at most, for every audit; an audit's own limit can only lower it."""
    seed: int | None
    model: str | None
    """Reference to use where the command line names none."""
    data: str | None
    model_arguments: Mapping[str, Argument]
    """Keyword arguments of the architecture, from `--set model.KEY=VALUE`."""
    origins: Mapping[Place, str]
    """`file:line` of what a file of the user's says."""

    def located(self, error: InvalidProfile, *place: str | int, edit: str = "") -> InvalidProfile:
        """The same mistake, told with the file that makes it and the edit that mends it.

        Args:
            error: whose remedy is meant for the command line.
            place: of the value in question, such as `"audits", "calibration", "bins"`.
            edit: of the file, where it is not the remedy itself.
        """
        return located(self.origins, error, place, edit)


def names() -> list[str]:
    """The shipped profiles."""
    return sorted(path.stem for path in shipped.folder("profiles").glob("*.yaml"))


def summary(name: str) -> str:
    """The sentence in which a shipped profile says what it is for: its first comment."""
    return text(name).splitlines()[0].removeprefix("#").strip()


def text(name: str) -> str:
    """A shipped profile's whole file, to be copied."""
    return (shipped.folder("profiles") / f"{name}.yaml").read_text(encoding="utf-8")


def load(
    reference: str | None,
    *,
    audits: Sequence[str] | None,
    settings: Sequence[str],
    limit: int | None,
    directory: Path,
) -> ResolvedProfile:
    """Finds a profile, follows what it extends and applies the command line.

    Args:
        reference: a shipped name or a path; None looks for repaudit.yaml or [tool.repaudit] from
            `directory` up to the repository's root, and falls back on `quick`.
        audits: only these; those that the profile does not name run with their defaults.
        settings: `KEY=VALUE` each, the key dotted, `audits.` left out or not, values in YAML.
        limit: images at most; None leaves the profile's own.
        directory: the working directory.

    Raises:
        InvalidProfile: naming what is wrong, where, and what mends it.
    """
    document = _discover(directory) if reference is None else _find(reference, directory)
    values, origins = _chain(document, ())
    if values.get("gates") and "audits" not in values:
        values, origins = _upon(*_chain(_find(DEFAULT, directory), ()), values, origins)
    if audits is not None:
        if not audits:
            raise InvalidProfile("--audits names no audit", remedy="--audits accuracy,calibration")
        values["audits"] = _chosen(values, list(audits))
        chosen_by_hand(origins, audits)
    arguments, others = split_settings(settings)
    apply_settings(values, others)
    for key in others:
        set_by_hand(origins, key)
    if limit is not None:
        values["limit"] = limit
    checked = Document(path=document.path, label="--set", values=values, lines={}).check()
    is_shipped = document.path.parent == shipped.folder("profiles")
    return _resolved(
        checked,
        name=document.path.stem if is_shipped else document.path.name,
        path=None if is_shipped else document.path,
        arguments=arguments,
        origins=origins,
    )


def fingerprint(resolved: Mapping[str, JsonValue]) -> str:
    """The sha256 over the canonical JSON of a resolved profile."""
    return hashlib.sha256(json.dumps(resolved, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _resolved(
    checked: ProfileFile, *, name: str, path: Path | None, arguments: Mapping[str, Argument], origins: Origins
) -> ResolvedProfile:
    if not isinstance(checked.audits, dict) or not checked.audits:
        raise InvalidProfile(
            f"the profile {name} names no audit", remedy="audits: [accuracy, calibration], or extends: quick"
        )
    parameters = {audit: dict(given or {}) for audit, given in checked.audits.items()}
    resolved = checked.model_dump(mode="json", exclude={"extends"}) | {
        "audits": parameters,
        "gates": checked.gates or [],
        "waivers": checked.waivers or [],
    }
    return ResolvedProfile(
        name=name,
        path=path,
        sha256=fingerprint(resolved),
        resolved=resolved,
        audits=parameters,
        gates=tuple(read_gate(entry, name) for entry in checked.gates or []),
        waivers=tuple(read_waiver(entry, lambda *_: name) for entry in checked.waivers or []),
        limit=checked.limit,
        seed=checked.seed,
        model=checked.model,
        data=checked.data,
        model_arguments=arguments,
        origins=origins,
    )


def _discover(directory: Path) -> Document:
    for folder in _up_to_repository_root(directory):
        for name in DISCOVERED:
            if (folder / name).is_file():
                document = read(folder / name, name)
                if document is not None:
                    return document
    return _find(DEFAULT, directory)


def _up_to_repository_root(directory: Path) -> list[Path]:
    """The folders in question; outside any repository only the working directory, not a stranger's home."""
    here = directory.resolve()
    upwards: list[Path] = []
    for folder in (here, *here.parents):
        upwards.append(folder)
        if (folder / ".git").exists():
            return upwards
    return [here]


def _find(reference: str, directory: Path) -> Document:
    """A shipped profile by name, else a file; a name never means a file in the working directory."""
    known = names()
    if reference in known:
        path = shipped.folder("profiles") / f"{reference}.yaml"
    elif "/" in reference or Path(reference).suffix in {".yaml", ".yml", ".toml"}:
        path = directory / Path(reference).expanduser()
    else:
        near = nearest(reference, known, 1)
        raise InvalidProfile(
            f"there is no profile `{reference}`",
            detail=f"shipped profiles: {', '.join(known)}; a file needs its suffix or a slash",
            remedy=f"--profile {near[0]}" if near else "repaudit list profiles",
        )
    if path.is_dir():
        inside = Path(reference) / DISCOVERED[0]
        raise InvalidProfile(
            f"{reference} is a folder, and a profile is a file",
            remedy=f"--profile {inside}" if (path / DISCOVERED[0]).is_file() else "repaudit list profiles",
        )
    if not path.is_file():
        raise InvalidProfile(
            f"there is no profile file {reference}",
            detail=f"looked for relative to {directory}",
            remedy=f"--profile {DEFAULT}, or: repaudit list profiles",
        )
    document = read(path, reference if reference not in known else f"{reference}.yaml")
    if document is None:
        raise InvalidProfile(
            f"{reference} has no table [tool.repaudit]", remedy='[tool.repaudit]\naudits = ["accuracy"]'
        )
    return document


def _chain(document: Document, seen: tuple[Path, ...]) -> tuple[Values, Origins]:
    """The values of a file over those of the profile that it extends, and where each was written."""
    own = document.check()
    path = document.path.resolve()
    if path in seen:
        raise InvalidProfile(
            f"{document.where('extends')}: the profiles extend each other in a circle",
            detail=" → ".join(step.name for step in (*seen, path)),
        )
    base: Values = {}
    origins: Origins = {}
    if own.extends is not None:
        try:
            parent = _find(own.extends, document.path.parent)
        except InvalidProfile as error:
            where = document.where("extends")
            remedy = error.remedy.replace("--profile ", "extends: ", 1)
            raise InvalidProfile(f"{where}: {error.problem}", detail=error.detail, remedy=remedy) from None
        base, origins = _chain(parent, (*seen, path))
    values = {key: document.values[key] for key in own.model_fields_set if key not in {"extends", "version"}}
    if isinstance(own.audits, list):
        return {**base, **values, "audits": _chosen(base, own.audits)}, origins | origins_of(document)
    if own.audits is not None:
        values["audits"] = {name: given or {} for name, given in own.audits.items()}
    return _upon(base, origins, values, origins_of(document))


def _upon(base: Values, below: Origins, values: Values, origins: Origins) -> tuple[Values, Origins]:
    """One file's values over another's, and likewise where they were written."""
    return _merged(base, values), below | origins


def _chosen(values: Values, audits: list[str]) -> Values:
    """These audits and no others, each with the parameters that the profile already has for it."""
    given = values.get("audits")
    known = given if isinstance(given, dict) else {}
    return {name: known.get(name, {}) for name in audits}


def _merged(base: Values, over: Values) -> Values:
    """Mappings merge key by key at every depth; anything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
