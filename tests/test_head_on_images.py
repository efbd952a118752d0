"""A head that was proved when the model was loaded must hold on every image that is audited."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from repaudit import scan
from repaudit.classifier import Capability
from repaudit.evidence import collect
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress
from repaudit.sources import classifier_of

SIDE, CLASSES, ROWS = 4, 3, 8
PREPROCESS = Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3, size=(SIDE, SIDE), source="test")


class Gated(nn.Module):
    """A second expert answers where red outweighs blue, as in none of the images of the proof."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body, self.head = nn.Linear(3 * SIDE * SIDE, 8), nn.Linear(8, CLASSES)
            self.other = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, images):
        flat = images.flatten(1)
        red = (images[:, 0].mean((1, 2)) - images[:, 2].mean((1, 2)) > 0.3)[:, None]
        return torch.where(red, self.other(flat), self.head(self.body(flat).relu()))


@pytest.fixture
def stored():
    """Twenty grey images and one that is red, in the third call."""
    grey = torch.randint(0, 256, (21, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    images = grey.repeat(1, 3, 1, 1)
    images[20, 0], images[20, 2] = 250, 5
    return images


def classifier():
    return classifier_of(Gated().eval(), preprocess=PREPROCESS)


def test_where_one_image_has_another_head_there_are_no_features_and_its_logits_are_the_networks_own(
    make_images, stored
):
    gated = classifier()
    assert gated.card.head.modules == ("head",)

    found = collect(gated, make_images(stored, np.zeros(21, int)), rows=ROWS, progress=SilentProgress())

    with torch.no_grad():
        own = Gated()(stored.float() / 255)
    assert found.evidence.features is None
    assert found.evidence.weight is None
    np.testing.assert_allclose(found.evidence.logits, own, atol=1e-6)
    assert gated.card.head.kind == "none"
    assert gated.capabilities == {Capability.GRADIENTS}
    assert [notice.code for notice in gated.card.notices] == ["head-does-not-hold"]
    assert "image-0020" in gated.card.notices[0].message


def test_half_precision_does_not_take_logits_from_a_head_that_fails(make_images, stored):
    found = collect(
        classifier(),
        make_images(stored, np.zeros(21, int)),
        rows=ROWS,
        progress=SilentProgress(),
        dtype=torch.bfloat16,
    )

    with torch.no_grad():
        own = Gated()(stored.float() / 255)
    assert found.evidence.features is None
    np.testing.assert_allclose(found.evidence.logits, own, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_head_that_holds_keeps_its_features_in_every_precision(make_images, stored, dtype):
    gated = classifier()

    found = collect(
        gated, make_images(stored[:20], np.zeros(20, int)), rows=ROWS, progress=SilentProgress(), dtype=dtype
    )

    assert found.evidence.features.shape == (20, 8)
    assert gated.card.notices == ()


def test_a_pass_that_was_kept_is_not_believed_for_a_head_that_failed_in_it(make_images, stored, tmp_path):
    images = make_images(stored, np.zeros(21, int))
    found = [
        collect(classifier(), images, rows=ROWS, progress=SilentProgress(), cache=tmp_path).evidence for _ in range(2)
    ]

    assert found[1].features is None
    assert found[1].logits.tobytes() == found[0].logits.tobytes()


def test_a_scan_skips_what_needs_features_and_says_on_which_image_the_head_fails(tmp_path, monkeypatch, stored):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        f"SIDE, CLASSES = {SIDE}, {CLASSES}\n"
        f"preprocess = dict(mean=[0.0] * 3, std=[1.0] * 3, size={SIDE})\n\n" + inspect.getsource(Gated)
    )
    np.savez(tmp_path / "data.npz", images=stored.permute(0, 2, 3, 1).numpy(), labels=np.arange(21) % CLASSES)

    report = scan(f"py:{tmp_path}/net.py:Gated", f"npz:{tmp_path}/data.npz", audits=["accuracy", "geometry"])

    geometry = next(entry for entry in report.audits if entry.id == "geometry")
    assert geometry.status == "skipped"
    assert "`20`" in geometry.reason
    assert "accuracy.top1" in report.metrics
    assert "head-does-not-hold" in [warning.code for warning in report.warnings]
    assert report.model.head.kind == "none"
