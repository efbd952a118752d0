"""Where the files lie that users read, copy and edit: profiles and training recipes."""

from __future__ import annotations

from pathlib import Path


def folder(kind: str) -> Path:
    """The folder of shipped files of one kind, `profiles` or `training`.

    A wheel carries them under `repaudit/_shipped`; a checkout has them at its top.

    Raises:
        FileNotFoundError: neither place has them, so the installation is broken.
    """
    package = Path(__file__).parent
    for place in (package / "_shipped" / kind, package.parent / kind):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"this installation has no `{kind}` folder beside {package}")


def assets() -> Path:
    """The folder of package data: the demo's weights."""
    return Path(__file__).parent / "assets"
