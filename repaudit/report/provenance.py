"""Which program measured which model on which images by which profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from repaudit.report.section import Section, Sorted, Text, json_value


def _plain(value: object) -> object:
    return json_value(value, "value") if isinstance(value, Mapping) else value


Values = Annotated[dict[str, JsonValue], BeforeValidator(_plain)]
"""A mapping of JSON values; tuples and numpy scalars are converted."""


class Tool(Section):
    """The program that measured."""

    name: Text = "repaudit"
    version: Text


class HeadSection(Section):
    """How the classifier was split at its penultimate layer, or why it could not be."""

    kind: Text
    """`linear`, `averaged linear`, `1x1 convolution` or `none`."""
    modules: list[Text] = Field(default_factory=list)
    """Layers whose input is the feature."""
    feature_width: int | None = None
    proof_error: float | None = None
    """max |f Wᵀ + b − logits| / max |logits| on the proof batch."""
    reason: Text | None = None
    """Why there is no linear head."""


class ModelSection(Section):
    """The classifier; nothing here depends on the data."""

    ref: Text
    """As it was asked for."""
    resolved: Text
    """What the reference resolved to."""
    params_count: int
    classes_count: int
    weights_sha256: Text
    """Over names, dtypes, shapes and bytes of the loaded state, whatever file it came from."""
    architecture: Text
    arguments: Values
    """Keyword arguments of the architecture."""
    preprocess: Values
    """Normalisation and geometry, and where they come from."""
    head: HeadSection
    capabilities: Annotated[list[Text], AfterValidator(sorted)]
    """Of features, linear_head, gradients: what audits may use."""
    files: Sorted[Text]
    """sha256 of each file read, by name."""
    notes: list[Text] = Field(default_factory=list)
    """Remarks of the loading."""


class BadImageEntry(Section):
    """A file left out because it could not be decoded."""

    id: Text
    reason: Text


class DataSection(Section):
    """The labelled images."""

    ref: Text
    """As it was asked for."""
    layout: Text
    images_count: int
    labels: Text
    """How labels were obtained."""
    fingerprint: Text
    """sha256 over sorted (id, label, content sha256)."""
    subset: Text
    """How the images were chosen."""
    bad_images: list[BadImageEntry] = Field(default_factory=list)


class ProfileSection(Section):
    """What was asked for."""

    name: Text
    sha256: Text
    """Over the canonical JSON of `resolved`."""
    resolved: Values
    """After `extends`, --audits, --set and --limit."""
