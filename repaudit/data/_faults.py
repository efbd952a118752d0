"""Files that are no usable images: named and refused, or left out and told; and pictures that lose something."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from repaudit.errors import InvalidData, printable
from repaudit.finding import Notice
from repaudit.images import BadImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.data._content import Content
    from repaudit.data._contract import DataRequest

SHOWN = 5
NOT_UTF8 = "its name is not UTF-8, and reports and joins need the name"


def with_odd_names(ids: Sequence[str], contents: Sequence[Content]) -> list[Content]:
    """The same findings, where a name that is no UTF-8 is a fault of its own."""
    return [
        content if _is_utf8(name) else replace(content, fault=NOT_UTF8)
        for name, content in zip(ids, contents, strict=True)
    ]


def bad_images(ids: Sequence[str], contents: Sequence[Content]) -> tuple[BadImage, ...]:
    """Those with a fault, in the order of `ids`; a name that is no UTF-8 is told by escapes."""
    return tuple(
        BadImage(name if _is_utf8(name) else printable(name), content.fault)
        for name, content in zip(ids, contents, strict=True)
        if content.fault is not None
    )


def left_out(bad: tuple[BadImage, ...], total: int, request: DataRequest) -> tuple[Notice, ...]:
    """What to say of the files that are left out; nothing where there are none.

    Raises:
        InvalidData: there are some and nobody asked to leave them out, or nothing else is there.
    """
    if not bad:
        return ()
    named = "\n".join(f"{printable(image.id)}: {printable(image.reason)}" for image in bad[:SHOWN])
    more = f"\n… and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if len(bad) == total:
        raise InvalidData(
            f"none of the {total} files of {request.ref} can be used as an image",
            detail=named + more,
            remedy="--data with a folder of image files, or new copies of these",
        )
    if not request.skip_bad_images:
        raise InvalidData(
            f"{len(bad)} of {total} files of {request.ref} cannot be used",
            detail=named + more,
            remedy="--skip-bad-images, which leaves them out and lists them in the report",
        )
    some = ", ".join(f"{image.id} ({image.reason})" for image in bad[:SHOWN])
    ellipsis = ", …" if len(bad) > SHOWN else ""
    return (Notice(code="bad-images-left-out", message=f"{len(bad)} of {total} files are left out: {some}{ellipsis}"),)


def clipped(contents: Sequence[Content]) -> tuple[Notice, ...]:
    """What to say of pictures with more than 8 bits a pixel; nothing where there are none."""
    deep = sum(content.mode.startswith(("I", "F")) for content in contents)
    if not deep:
        return ()
    message = (
        f"{deep} of {len(contents)} images have more than 8 bits per pixel; values above 255 are clipped, "
        "as torchvision does"
    )
    return (Notice(code="clipped-to-8-bits", message=message),)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
