"""The shipped table of linear heads is what the architectures show when they are built again."""

import sys
from collections import Counter
from fnmatch import fnmatch
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest
import timm
from torch import nn
from torchvision import models

from repaudit.heads import read

TABLE = read()
KNOWN = {"timm": set(timm.list_models()), "torchvision": set(models.list_models(module=models))}
AGAIN = 20
"""One name in so many is walked again by the default tests."""
SMALL = 30_000_000
"""Parameters of what may be given values in a second."""
WITHOUT_HEAD = ("volo_*", "squeezenet*")


def rows():
    """Those of architectures that the installed libraries still have."""
    return [row for row in TABLE.rows if row.name in KNOWN[row.library]]


def named(row):
    return f"{row.library}:{row.name}"


def drawn():
    """Recurrent networks take twenty seconds without values: those are walked by the slow tests."""
    chosen = [row for row in rows() if int(sha256(named(row).encode()).hexdigest(), 16) % AGAIN == 0]
    return [pytest.param(row, marks=[pytest.mark.slow] * (row.family == "sequencer")) for row in chosen]


def smallest_of_each_family():
    families = {}
    for row in rows():
        family = families.setdefault((row.library, row.family), row)
        if row.classes and (not family.classes or row.parameters < family.parameters):
            families[row.library, row.family] = row
    return list(families.values())


@pytest.fixture(scope="module")
def architectures():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        import _architectures

        yield _architectures
    sys.modules.pop("_architectures", None)


def facts(row):
    return row.family, row.parameters, row.classes, row.kind, row.layers, row.width


@pytest.mark.parametrize("row", drawn(), ids=named)
@pytest.mark.filterwarnings("ignore")  # of the libraries' own constructors
def test_an_architecture_drawn_by_its_name_has_the_head_that_the_table_says(row, architectures):
    architecture = architectures.Architecture(row.library, row.name)
    found = architectures.walked(architecture, first=architectures.Proof.SHAPES, at_most=SMALL)

    assert facts(found) == facts(row)


class Ended(nn.Module):
    """A convolution, a mean over positions where `pool`, and an end of one's own."""

    def __init__(self, end, head, *, pool=True):
        super().__init__()
        self.stem, self.head, self.end, self.pool = nn.Conv2d(3, 8, 4, 4), head, end, pool

    def forward(self, images):
        features = self.stem(images)
        return self.end(self.head, features.mean((2, 3)) if self.pool else features)


ENDS = {
    "a linear layer": (Ended(lambda head, f: head(f), nn.Linear(8, 5)), ("head",)),
    "reshaped and back": (Ended(lambda head, f: head(f)[:, None].flatten(1), nn.Linear(8, 5)), ("head",)),
    "a 1×1 convolution": (Ended(lambda head, f: head(f[:, :, None, None]).flatten(1), nn.Conv2d(8, 5, 1)), ("head",)),
    "in place": (Ended(lambda head, f: head(f).relu_(), nn.Linear(8, 5)), ()),
    "a sum in place": (Ended(lambda head, f: head(f).add_(f[:, :5].sin()), nn.Linear(8, 5)), ()),
    "a wide convolution": (Ended(lambda head, f: head(f).flatten(1), nn.Conv2d(8, 5, 2), pool=False), ()),
    "groups": (Ended(lambda head, f: head(f[:, :, None, None]).flatten(1), nn.Conv2d(8, 4, 1, groups=2)), ()),
    "one number a class": (Ended(lambda head, f: head(f[:, None] * f.new_ones(5, 1)).flatten(1), nn.Linear(8, 1)), ()),
    "run twice": (Ended(lambda head, f: head(f + head(f)[:, :1]), nn.Linear(8, 5)), ()),
    "other places": (Ended(lambda head, f: head(f).as_strided((1, 5), (0, 0)), nn.Linear(8, 5)), ()),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_graph_shows_no_head_that_is_none(end, architectures):
    network, layers = ENDS[end]

    card, _ = architectures._traced(network.to("meta").eval(), 8)

    assert card.modules == layers
    assert (card.kind == "none") == (not layers)


@pytest.mark.slow
@pytest.mark.parametrize("row", smallest_of_each_family(), ids=named)
@pytest.mark.filterwarnings("ignore")
def test_features_times_weights_are_the_logits_in_every_family(row, architectures):
    found = architectures.walked(architectures.Architecture(row.library, row.name), thorough=True)

    assert found.proof == "values"
    assert facts(found) == facts(row)


def test_98_of_100_of_timms_classifiers_have_a_linear_head():
    classifiers = [row for row in TABLE.rows if row.library == "timm" and row.classes]

    assert len(classifiers) > 1000
    assert sum(row.width is not None for row in classifiers) >= 0.98 * len(classifiers)


def test_all_of_torchvisions_classifiers_have_one_but_squeezenet():
    without = {row.name for row in TABLE.rows if row.library == "torchvision" and row.width is None}

    assert without == {"squeezenet1_0", "squeezenet1_1"}


def test_only_families_known_to_end_otherwise_lack_a_head_and_each_says_why():
    without = [row for row in TABLE.rows if row.width is None]

    assert all(row.reason for row in without)
    assert [
        named(row) for row in without if row.classes and not any(fnmatch(row.name, family) for family in WITHOUT_HEAD)
    ] == []


def test_every_architecture_is_in_the_table_once():
    assert max(Counter(map(named, TABLE.rows)).values()) == 1
    for library, names in KNOWN.items():
        if version(library) == TABLE.versions[library]:
            assert {row.name for row in TABLE.rows if row.library == library} == names


def test_what_answers_with_an_embedding_is_made_to_lie_beside_a_text():
    beside_a_text = ("*clip*", "*_mci*", "vitamin_*", "vit_pe_core_*")
    embed = [row for row in TABLE.rows if row.embeds]

    assert embed
    assert all(row.width is not None and 512 <= row.classes <= 1280 for row in embed)
    assert [row.name for row in embed if not any(fnmatch(row.name, name) for name in beside_a_text)] == []


def test_the_docs_give_the_figures_of_the_table():
    page = (Path(__file__).parents[2] / "docs" / "heads.md").read_text()

    for library in KNOWN:
        classifiers = [row for row in TABLE.rows if row.library == library and row.classes]
        found = sum(row.width is not None for row in classifiers)
        assert f"| {library} {TABLE.versions[library]} | {found:,} of {len(classifiers):,} |" in page
    embed = [row for row in TABLE.rows if row.embeds]
    rest = [row for row in TABLE.rows if row.library == "timm" and row.classes and not row.embeds]
    assert f"**{len(embed)} of timm's answer with an embedding rather than with classes**" in page
    assert f"All {len(embed)} have a linear head" in page
    assert f"{sum(row.width is not None for row in rest):,} of {len(rest):,}" in page
    for kind in ("linear", "averaged linear", "1x1 convolution"):
        assert f"| {kind} | {sum(row.kind == kind for row in TABLE.rows):,} |" in page
    assert TABLE.walked in page
