"""Flags ↔ types, nothing else."""

from __future__ import annotations

import sys


def entry() -> None:
    """The console script: turns whatever happens into one of the documented exit statuses."""
    from repaudit.cli.app import main

    sys.exit(main())
