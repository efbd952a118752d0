"""Finished jobs, one JSON line each, so that a killed evaluation goes on where it was.

A record is a function of the image, the attack and the seed, not of what else ran; so whatever a journal holds
need not be searched again, and the verdicts are the same as without it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from repaudit.attacks.ledger import RECORD
from repaudit.errors import InvalidJournal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from repaudit.attacks.settings import Setting
    from repaudit.case import Storage
    from repaudit.progress import Progress

FORMAT = 1
"""Rises when a line changes its meaning, or an attack its queries."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished job."""

    id: str
    job: int
    record: np.void
    """Of `RECORD`."""


class Journal:
    """An open file of finished jobs; closed by `close`."""

    def __init__(self, stream: IO[bytes], entries: Sequence[Entry]) -> None:
        self._stream = stream
        self.entries = tuple(entries)
        """What earlier runs finished."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Appends finished jobs; they survive a kill of this process from here on."""
        if entries:
            lines = [json.dumps([entry.id, entry.job, *_plain(entry.record)]) + "\n" for entry in entries]
            self._stream.write("".join(lines).encode())
            self._stream.flush()

    def close(self) -> None:
        """Lets another process have it."""
        self._stream.close()


def journal_of(
    storage: Storage, setting: Setting, *, seed: int, progress: Progress, **told: object
) -> AbstractContextManager[Journal | None]:
    """The journal of one attack of a scan; None inside where none can be kept or the attack decides by votes.

    Args:
        storage: of the scan: where journals lie, and all that the network's answers depend on.
        setting: the attack; its key does not matter.
        seed: of all noise.
        progress: hears why there is none.
        told: JSON values that records depend on beyond these.

    Raises:
        InvalidJournal: the file belongs to another evaluation, or is damaged.
    """
    if storage.cache is None or setting.votes > 1:
        return nullcontext()
    attack = {name: value for name, value in setting.as_dict().items() if name not in {"key", "series"}}
    identity = {**storage.identity, "attack": attack, "seed": seed, **told}
    path = journal_path(storage.cache, identity)
    journal = open_journal(path, identity, fresh=storage.fresh, progress=progress)
    return nullcontext() if journal is None else closing(journal)


def journal_path(folder: Path, identity: Mapping[str, object]) -> Path:
    """Where the journal of an evaluation lies below the cache folder."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return folder / "attacks" / f"{digest}.jsonl"


def open_journal(path: Path, identity: Mapping[str, object], *, fresh: bool, progress: Progress) -> Journal | None:
    """The journal of one evaluation, begun or continued; None, with a note, while another process writes it.

    Args:
        path: of the file.
        identity: JSON values that every record depends on: weights, images, attack, radius, seed, numerics.
        fresh: forget what it holds.
        progress: hears why there is none.

    Raises:
        InvalidJournal: the file belongs to another evaluation; what differs is named.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        progress.note("another process keeps the journal of this attack: this one keeps none")
        return None
    header = json.dumps({"format": FORMAT, "identity": identity}, sort_keys=True).encode() + b"\n"
    if fresh:
        stream.truncate(0)
    lines = stream.read().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]  # a kill can tear the last one
    if not whole:
        stream.seek(0)
        stream.truncate(0)
        stream.write(header)
        stream.flush()
        return Journal(stream, [])
    if whole[0] != header:
        stream.close()
        raise _of_another(path, whole[0], identity)
    stream.truncate(sum(map(len, whole)))
    stream.seek(0, os.SEEK_END)
    try:
        return Journal(stream, [_entry(line) for line in whole[1:]])
    except (ValueError, TypeError):
        stream.close()
        raise InvalidJournal(
            f"the journal {path} is damaged", remedy="--fresh to begin anew, or: repaudit doctor --clear-cache"
        ) from None


def _of_another(path: Path, header: bytes, identity: Mapping[str, object]) -> InvalidJournal:
    try:
        theirs = json.loads(header)
        known = theirs["identity"] if theirs["format"] == FORMAT else {}
    except (ValueError, KeyError, TypeError):
        known = {}
    wanted = json.loads(json.dumps(identity))
    differing = sorted(name for name in wanted.keys() | known.keys() if wanted.get(name) != known.get(name))
    return InvalidJournal(
        f"the journal {path} belongs to another evaluation",
        detail="different: " + ", ".join(differing) if known else "its first line is no header of this version",
        remedy="--fresh to begin anew, or: repaudit doctor --clear-cache",
    )


def _plain(record: np.void) -> list[object]:
    """JSON values; what is not finite is null or the text `inf`."""
    values: list[object] = []
    for value in record.item():
        if isinstance(value, float) and not np.isfinite(value):
            values.append(None if np.isnan(value) else "inf")
        else:
            values.append(value)
    return values


def _entry(line: bytes) -> Entry:
    name, job, *values = json.loads(line)
    numbers = [np.nan if value is None else np.inf if value == "inf" else value for value in values]
    record: np.void = np.array([tuple(numbers)], dtype=RECORD)[0]
    return Entry(name, job, record)
