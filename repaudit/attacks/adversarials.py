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
    from collections.abc import Callable

    from repaudit.attacks.verdict import Evaluation


class Adversarials:
    """Deciding queries on their way to a file; they wait on disk, not in memory."""

    def __init__(self) -> None:
        self._stream = TemporaryFile()  # noqa: SIM115 — open as long as the evaluation
        self._shape: tuple[int, ...] = ()
        self._rows: dict[int, tuple[int, int]] = {}
        self._count = 0

    def take(self, subject: np.ndarray, job: np.ndarray, queries: np.ndarray) -> None:
        """Keeps the queries (r, c, h, w) float32 that broke r images; of several on an image the earliest job's."""
        self._shape = queries.shape[1:]
        for image, number, query in zip(subject.tolist(), job.tolist(), queries, strict=True):
            if image in self._rows and self._rows[image][0] <= number:
                continue
            self._stream.write(np.ascontiguousarray(query, dtype=np.float32).tobytes())
            self._rows[image] = (number, self._count)
            self._count += 1

    def close(self) -> None:
        """Forgets them."""
        self._stream.close()

    def has(self, subject: int) -> bool:
        """A query that broke this image is kept."""
        return subject in self._rows

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

        broken = [row for row in np.flatnonzero(evaluation.outcome == CODES[Outcome.BROKEN]).tolist() if self.has(row)]
        ids = tuple(evaluation.ids[row] for row in broken)
        self._stream.flush()
        size = int(np.prod(self._shape, dtype=np.int64)) * 4
        images = np.empty((len(broken), *self._shape), dtype=np.float32)
        for place, row in enumerate(broken):
            self._stream.seek(self._rows[row][1] * size)
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
        return len(broken)


def _eight_bit(clean: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The pictures that the 8-bit verdicts are about."""
    rounded = towards(torch.from_numpy(clean), torch.from_numpy(images))
    levels: np.ndarray = (rounded * LEVELS).round().to(torch.uint8).numpy()
    return levels
