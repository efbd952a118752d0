"""What tests of data layouts share: a cache of their own, requests, and small pictures."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repaudit.data import DataRequest
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress


class Remarks(SilentProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("REPAUDIT_CACHE", str(folder))
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    return folder


@pytest.fixture
def remarks() -> Remarks:
    return Remarks()


@pytest.fixture
def make_request(remarks) -> Callable[..., DataRequest]:
    """A request for images as they are stored, for a model of three channels."""

    def make(ref, *, classes=10, class_ids=None, size=None, channels=3, **others) -> DataRequest:
        geometry = {name: others.pop(name) for name in ("resize", "crop", "interpolation") if name in others}
        preprocess = Preprocess(mean=(0.5,) * channels, std=(0.5,) * channels, size=size, source="test", **geometry)
        given = {"limit": None, "seed": 0, "skip_bad_images": False, "workers": 0, "progress": remarks} | others
        return DataRequest(ref=str(ref), preprocess=preprocess, classes_count=classes, class_ids=class_ids, **given)

    return make


@pytest.fixture
def draw(rng) -> Callable[..., np.ndarray]:
    """Smooth random pixels, (h, w, 3) uint8: JPEG and resampling treat them as a photograph's."""

    def make(height: int = 12, width: int = 12) -> np.ndarray:
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))

    return make


@pytest.fixture
def save_pictures(draw) -> Callable[..., Path]:
    """Writes a small picture at each path below a folder."""

    def save(root: Path, *names: str) -> Path:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw()).save(root / name, "PNG" if name.endswith("png") else "JPEG")
        return root

    return save


@pytest.fixture
def as_nobody() -> Callable[..., object]:
    """Runs a block without root's power to read everything."""

    @contextmanager
    def drop() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return drop
