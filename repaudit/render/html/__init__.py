"""The report as one HTML file: the verdict first, then audit by audit."""

from __future__ import annotations

from repaudit.render.html.document import LARGEST_PAGE, to_html

__all__ = ["LARGEST_PAGE", "to_html"]
