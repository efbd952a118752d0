"""per_image.npz: one row an image, so that two reports can be paired."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.errors import InvalidReport
from repaudit.report.section import Section, Text

if TYPE_CHECKING:
    from collections.abc import Mapping


class PerImage(Section):
    """Where the rows lie."""

    path: Text
    """Relative to the JSON."""
    sha256: Text
    columns: list[Text]


def sidecar_name(report: Path) -> str:
    """`per_image.npz` beside report.json, `NAME.per_image.npz` beside NAME.json: two reports never share one."""
    return "per_image.npz" if report.stem == "report" else f"{report.stem}.per_image.npz"


def to_bytes(columns: Mapping[str, np.ndarray]) -> bytes:
    """An npz archive whose bytes depend on the columns alone: no pickle, no clock.

    Raises:
        ValueError: the columns differ in length, or one needs pickle.
    """
    lengths = {name: values.shape for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of one table have one length; got {lengths}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, values in columns.items():
            array = io.BytesIO()
            np.lib.format.write_array(array, np.ascontiguousarray(values), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, array.getvalue())
    return buffer.getvalue()


def read_per_image(section: PerImage, report: Path) -> dict[str, np.ndarray]:
    """The columns of a report, from the file beside its JSON.

    Raises:
        InvalidReport: the file is missing, or is not the one that the report was written with.
    """
    path = report.parent / section.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidReport(
            f"{report.name} needs {section.path} beside it: {error.strerror}", remedy="copy both files together"
        ) from None
    if hashlib.sha256(content).hexdigest() != section.sha256:
        raise InvalidReport(
            f"{section.path} is not the file that {report.name} was written with",
            detail="its sha256 differs",
            remedy="copy both files together, or run the scan again",
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
