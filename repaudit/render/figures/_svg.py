"""From what matplotlib writes to a picture that a page can hold: its theme's colours, its fonts, no clash of ids."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from repaudit.render.figures._inks import STAND_INS
from repaudit.render.figures.palette import LIGHT

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAMESPACE = "http://www.w3.org/2000/svg"
FONTS = "system-ui, sans-serif"
_LINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+")
_STAND_IN = re.compile("|".join(STAND_INS.values()))
_PROPERTY_OF = {colour: name for name, colour in STAND_INS.items()}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_STYLE = re.compile(r'style="[^"]*"')
_PROPERTY = re.compile(rf"var\(({'|'.join(LIGHT)})\)")
_DEAD = ("metadata", "style")
_ROOT_STYLE = {"stroke-linejoin": "round", "font-family": FONTS}


def themed(written: str, *, name: str, title: str, description: str) -> str:
    """The picture for a page: no size of its own, named for screen readers, colours as custom properties.

    Args:
        written: by matplotlib, with the stand-ins as colours.
        name: begins every id, so that several pictures stand in one page.
        title: plain text.
        description: plain text.
    """
    root = ElementTree.fromstring(written)
    used = _references(root)
    for element in root.iter():
        for child in [child for child in element if _local(child) in _DEAD or (not len(child) and _empty(child))]:
            element.remove(child)
        _rewrite(element, name, used)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"xmlns": NAMESPACE, "viewBox": box, "role": "img"})
    root.attrib.update({"aria-labelledby": f"{name}-title {name}-desc", **_ROOT_STYLE})
    for place, (kind, text) in enumerate((("title", title), ("desc", description))):
        told = ElementTree.Element(kind, {"id": f"{name}-{kind}"})
        told.text = text
        root.insert(place, told)
    return ElementTree.tostring(_flat(root), encoding="unicode")


def standalone(picture: str) -> str:
    """The picture as a file of its own: light colours on light paper, twice as many pixels as points."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture)
    if box is None:
        raise ValueError("a picture without a viewBox")
    width, height = (float(side) for side in box.groups())
    sized = picture.replace(" viewBox", f' width="{2 * width:g}" height="{2 * height:g}" viewBox', 1)
    paper = f'<rect width="100%" height="100%" fill="{LIGHT["--paper"]}"/>'
    sized = sized.replace("</desc>", f"</desc>{paper}", 1)
    coloured = _STYLE.sub(lambda style: _PROPERTY.sub(lambda found: LIGHT[found[1]], style[0]), sized)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{coloured}\n'


def _rewrite(element: Element, name: str, used: frozenset[str]) -> None:
    element.tag = _local(element)
    element.tail = None
    if element.tag != "text":
        element.text = None
    if _LINK in element.attrib:
        element.attrib["href"] = f"#{name}-{element.attrib.pop(_LINK).removeprefix('#')}"
    own = element.attrib.pop("id", None)
    if own in used:
        element.attrib["id"] = f"{name}-{own}"
    if element.attrib.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    for key, value in element.attrib.items():
        element.attrib[key] = _value(key, value, name)


def _value(key: str, value: str, name: str) -> str:
    if key == "d":
        return _path(value)
    if key == "style":
        value = "; ".join(part for part in value.split("; ") if not part.startswith("font-family"))
        value = _STAND_IN.sub(lambda found: f"var({_PROPERTY_OF[found[0]]})", value)
    if key in {"style", "clip-path"}:
        return _REFERENCE.sub(lambda found: f"url(#{name}-{found[1]})", value)
    return _NUMBER.sub(_short, value) if key in {"x", "y", "transform", "width", "height"} else value


def _path(value: str) -> str:
    """Two decimals, no blanks that say nothing; a line to where it began is a dot."""
    rounded = _NUMBER.sub(_short, value)
    joined = re.sub(r"\s*([A-Za-z])\s*", r"\1", rounded.strip())
    return re.sub(r"M([^A-Za-z]+)L\1(?=[A-Za-z]|$)", r"M\1h0", joined)


def _short(found: re.Match[str]) -> str:
    text = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _references(root: Element) -> frozenset[str]:
    found = {element.attrib[_LINK].removeprefix("#") for element in root.iter() if _LINK in element.attrib}
    for element in root.iter():
        for value in element.attrib.values():
            found.update(_REFERENCE.findall(value))
    return frozenset(found)


def _flat(element: Element) -> Element:
    """Groups that say nothing give way to what they hold."""
    kept: list[Element] = []
    for child in element:
        _flat(child)
        kept += list(child) if child.tag == "g" and not child.attrib else [child]
    element[:] = kept
    return element


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _empty(element: Element) -> bool:
    return _local(element) in {"g", "defs"}
