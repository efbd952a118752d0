"""One HTML file that needs nothing else: the skeleton which every page of repaudit shares."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from repaudit import __version__
from repaudit.render.plain import safe
from repaudit.render.theme import css

TEMPLATES = Path(__file__).with_name("templates")
LONGEST_TEXT = 2000
"""No text in a page is longer, whatever a template was given."""


def page(title: str, body: str, *, summary: str = "", wide: bool = False) -> str:
    """A whole document: light and dark, printable, from 320 pixels up, without a network.

    A `<table class="sortable">` in the body gets buttons in its column heads; cells of numbers carry `data-value`.
    Wide tables belong into `<div class="scroll" tabindex="0" role="region" aria-label="…">`.

    Args:
        title: plain text; the heading of the page and of its window.
        body: HTML below the heading, escaped already, such as `rendered` returns; its own headings begin at h2.
        summary: plain text; one sentence below the title.
        wide: it holds tables of many columns, so that text may leave room beside it.

    Returns:
        HTML that any browser opens from a file.
    """
    script = Markup(_source("page.js"))
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return rendered(
        "page.html",
        title=title,
        summary=summary,
        wide=wide,
        version=__version__,
        style=Markup(css() + _source("page.css") + _source("parts.css")),
        script=script,
        script_hash=digest,
        body=Markup(body),
    )


def rendered(template: str, **values: object) -> Markup:
    """A template of this package filled in; all that is no `Markup` is made printable, shortened and escaped.

    Raises:
        jinja2.UndefinedError: the template names a value that was not given.
    """
    return Markup(_environment().get_template(template).render(values))


def prose(text: str) -> Markup:
    """A foreign sentence in which what stands between backticks is set as code; keys in it may be broken."""
    pieces = safe(text, LONGEST_TEXT).split("`")
    if len(pieces) % 2 == 0:
        return _breakable("`".join(pieces))
    return Markup("").join(
        Markup("<code>{}</code>").format(_breakable(piece)) if at % 2 else _breakable(piece)
        for at, piece in enumerate(pieces)
    )


def key(name: str) -> Markup:
    """A dotted name set as code, which a line may break after its dots and underscores."""
    return Markup("<code>{}</code>").format(_breakable(safe(name, LONGEST_TEXT)))


def counted(count: int, many: str) -> str:
    """A count with its words, such as `1 more class` for 1 and `more classes`; the last of them is in the plural."""
    if count == 1:
        many = many.removesuffix("es" if many.endswith("sses") else "s")
    return f"{count:,} {many}"


def _breakable(text: str) -> Markup:
    return Markup("<wbr>").join(re.split(r"(?<=[A-Za-z0-9][._])(?=[A-Za-z])", text))


def _fit(value: object) -> object:
    return value if isinstance(value, Markup) else safe(str(value), LONGEST_TEXT)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(prose=prose, key=key, counted=counted)
    return environment


@cache
def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
