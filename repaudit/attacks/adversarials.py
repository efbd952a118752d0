"""The images that broke the network, saved so that anybody can check them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.rounding import LEVELS, towards
from repaudit.attacks.verdict import CODES, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from repaudit.attacks.verdict import Evaluation


class Adversarials:
    """Deciding queries on their way to a file; they wait on disk, not in memory.

    One of these serves a whole list of radii: what broke an image at one radius stays what is kept of it at the larger
    ones, as its verdict does.
    """

    def __init__(self) -> None:
        self._stream = TemporaryFile()  # noqa: SIM115 — open as long as the evaluation
        self._shape: tuple[int, ...] = ()
        self._rows: dict[str, tuple[int, int, int]] = {}
        self._radius = 0
        self._count = 0

    def next_radius(self, broken: Collection[str]) -> None:
        """What is taken from now on broke images at a larger radius; of the smaller one only these stay broken."""
        self._radius += 1
        self._rows = {name: row for name, row in self._rows.items() if name in broken}

    def take(self, ids: Sequence[str], job: np.ndarray, queries: np.ndarray) -> None:
        """Keeps the queries (r, c, h, w) float32 that broke r images; of several on an image the first.

        The first is that of the smallest radius, and there of the earliest job.
        """
        self._shape = queries.shape[1:]
        for name, number, query in zip(ids, job.tolist(), queries, strict=True):
            if name in self._rows and self._rows[name][:2] <= (self._radius, number):
                continue
            self._stream.write(np.ascontiguousarray(query, dtype=np.float32).tobytes())
            self._rows[name] = (self._radius, number, self._count)
            self._count += 1

    def close(self) -> None:
        """Forgets them."""
        self._stream.close()

    def has(self, name: str) -> bool:
        """A query that broke this image is kept."""
        return name in self._rows

    def save(self, path: Path, evaluation: Evaluation, clean: Callable[[tuple[str, ...]], np.ndarray]) -> int:
        """Writes `float` (m, c, h, w) float32 and `eight_bit` uint8, in the order of the metadata's `ids`.

        Args:
            path: of the safetensors file.
            evaluation: whose broken images these are.
            clean: reads images by id, (m, c, h, w) float32.

        Returns:
            How many adversarials there are.
        """
        from safetensors.numpy import save_file

        broken = [evaluation.ids[row] for row in np.flatnonzero(evaluation.outcome == CODES[Outcome.BROKEN])]
        ids = tuple(name for name in broken if self.has(name))
        self._stream.flush()
        size = int(np.prod(self._shape, dtype=np.int64)) * 4
        images = np.empty((len(ids), *self._shape), dtype=np.float32)
        for place, name in enumerate(ids):
            self._stream.seek(self._rows[name][2] * size)
            images[place] = np.frombuffer(self._stream.read(size), dtype=np.float32).reshape(self._shape)
        self._stream.seek(0, 2)
        stored = _eight_bit(clean(ids), images) if ids else np.empty(images.shape, dtype=np.uint8)
        threat = evaluation.setting.threat
        metadata = {
            "attack": evaluation.setting.key,
            "setting": json.dumps(evaluation.setting.as_dict()),
            "norm": threat.norm.value,
            "epsilon": repr(threat.epsilon),
            "seed": str(evaluation.seed),
            "ids": json.dumps(ids),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"float": images, "eight_bit": stored}, path, metadata=metadata)
        return len(ids)


def _eight_bit(clean: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The pictures that the 8-bit verdicts are about."""
    rounded = towards(torch.from_numpy(clean), torch.from_numpy(images))
    levels: np.ndarray = (rounded * LEVELS).round().to(torch.uint8).numpy()
    return levels
