"""The clean pass: what it leaves equals the network's own answers, is kept, and continues."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.errors import InvalidModel
from repaudit.evidence import collect, evidence_key
from repaudit.progress import SilentProgress

ROWS = 8


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4))


@pytest.fixture
def images(make_images):
    stored = torch.randint(0, 256, (21, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return make_images(stored, np.arange(21) % 4)


class CountingImages:
    """Says how often it was read; stops with a signal-like error after some batches."""

    def __init__(self, inner, stop_after=None):
        self.inner, self.stop_after, self.rows_read = inner, stop_after, 0
        for name in ("ids", "labels", "fingerprint"):
            setattr(self, name, getattr(inner, name))

    def __len__(self):
        return len(self.inner)

    def batches(self, rows, ids=None):
        for number, batch in enumerate(self.inner.batches(rows, ids)):
            if self.stop_after is not None and number >= self.stop_after:
                raise KeyboardInterrupt
            self.rows_read += len(batch.ids)
            yield batch


def test_evidence_holds_the_networks_own_logits_and_features_in_the_order_of_the_images(
    make_classifier, network, images
):
    evidence = collect(make_classifier(network), images, rows=ROWS, progress=SilentProgress()).evidence

    with torch.no_grad():
        features = network[:-1](images.stored.float() / 255)
        logits = network[-1](features)
    assert evidence.ids == images.ids
    np.testing.assert_allclose(evidence.features, features.numpy(), atol=1e-5)
    np.testing.assert_allclose(evidence.logits, logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(evidence.features @ evidence.weight.T + evidence.bias, evidence.logits, atol=1e-5)


def test_every_call_has_the_same_number_of_rows(make_classifier, network, images):
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))

    collect(make_classifier(network), images, rows=ROWS, progress=SilentProgress())

    assert seen == [ROWS, ROWS, ROWS]


def test_a_second_pass_reads_nothing_and_gives_the_same_bytes(make_classifier, network, images, tmp_path):
    classifier = make_classifier(network)
    first = collect(classifier, images, rows=ROWS, progress=SilentProgress(), cache=tmp_path)
    counting = CountingImages(images)
    second = collect(classifier, counting, rows=ROWS, progress=SilentProgress(), cache=tmp_path)

    assert (first.cached, second.cached, counting.rows_read) == (False, True, 0)
    assert second.evidence.logits.tobytes() == first.evidence.logits.tobytes()
    assert second.evidence.features.tobytes() == first.evidence.features.tobytes()


def test_an_interrupted_pass_continues_where_it_stopped(make_classifier, network, images, tmp_path):
    classifier = make_classifier(network)
    with pytest.raises(KeyboardInterrupt):
        collect(classifier, CountingImages(images, stop_after=2), rows=ROWS, progress=SilentProgress(), cache=tmp_path)
    rest = CountingImages(images)
    continued = collect(classifier, rest, rows=ROWS, progress=SilentProgress(), cache=tmp_path)
    whole = collect(classifier, images, rows=ROWS, progress=SilentProgress())

    assert rest.rows_read == 21 - 2 * ROWS
    assert continued.resumed
    assert continued.evidence.logits.tobytes() == whole.evidence.logits.tobytes()


def test_fresh_forgets_the_earlier_pass(make_classifier, network, images, tmp_path):
    classifier = make_classifier(network)
    collect(classifier, images, rows=ROWS, progress=SilentProgress(), cache=tmp_path)
    counting = CountingImages(images)
    collected = collect(classifier, counting, rows=ROWS, progress=SilentProgress(), cache=tmp_path, fresh=True)

    assert not collected.cached
    assert counting.rows_read == 21


def test_a_torn_manifest_is_not_believed(make_classifier, network, images, tmp_path):
    classifier = make_classifier(network)
    collect(classifier, images, rows=ROWS, progress=SilentProgress(), cache=tmp_path)
    manifest = next(tmp_path.rglob("manifest.json"))
    manifest.write_text(manifest.read_text()[:9])

    assert not collect(classifier, images, rows=ROWS, progress=SilentProgress(), cache=tmp_path).cached


def test_while_another_process_fills_the_same_folder_the_pass_still_gives_the_right_arrays(
    make_classifier, network, images, tmp_path
):
    classifier = make_classifier(network)
    alone = collect(classifier, images, rows=ROWS, progress=SilentProgress(), cache=tmp_path)
    lock = next(tmp_path.rglob("lock"))
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(f"""
            import fcntl, sys
            with open({str(lock)!r}, "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                print("held", flush=True)
                sys.stdin.read()
        """)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        assert holder.stdout.readline() == "held\n"
        beside = collect(classifier, images, rows=ROWS, progress=SilentProgress(), cache=tmp_path)
        holder.stdin.close()

    assert not beside.cached
    assert beside.evidence.logits.tobytes() == alone.evidence.logits.tobytes()


@pytest.mark.parametrize("change", ["weights_sha256", "arguments", "preprocess", "architecture"])
def test_the_key_changes_with_whatever_moves_a_logit(make_classifier, network, images, change):
    from dataclasses import replace

    classifier = make_classifier(network)
    key = evidence_key(classifier, images, rows=ROWS, dtype=torch.float32)
    other = {
        "weights_sha256": "1" * 64,
        "arguments": {"pad_type": "same"},
        "preprocess": replace(classifier.card.preprocess, mean=(0.5,) * 3),
        "architecture": "another",
    }[change]
    classifier.card = replace(classifier.card, **{change: other})

    assert evidence_key(classifier, images, rows=ROWS, dtype=torch.float32) != key


def test_the_key_changes_with_data_rows_and_dtype(make_classifier, network, images):
    classifier = make_classifier(network)
    keys = {
        evidence_key(classifier, images, rows=ROWS, dtype=torch.float32),
        evidence_key(classifier, images, rows=2 * ROWS, dtype=torch.float32),
        evidence_key(classifier, images, rows=ROWS, dtype=torch.bfloat16),
    }
    images.fingerprint = "1" * 64
    keys.add(evidence_key(classifier, images, rows=ROWS, dtype=torch.float32))

    assert len(keys) == 4


def test_images_with_non_finite_logits_are_named(make_classifier, network, images):
    class NotANumber(nn.Module):
        def forward(self, x):
            return torch.where(x.mean((1, 2, 3), keepdim=True) > 0.5, float("nan"), 1.0) * x

    broken = nn.Sequential(NotANumber(), *network)
    images.stored[5] = 255

    with pytest.raises(InvalidModel, match="NaN or infinity") as refused:
        collect(make_classifier(broken), images, rows=ROWS, progress=SilentProgress())
    assert "image-0005" in refused.value.detail


def test_a_cache_folder_that_cannot_be_written_is_an_error_of_the_system_not_a_wrong_number(
    make_classifier, network, images, tmp_path
):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)

    with pytest.raises(OSError, match="ermission"):
        collect(make_classifier(network), images, rows=ROWS, progress=SilentProgress(), cache=tmp_path / "no")
