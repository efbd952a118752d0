"""A network whose answer to an image is not its own: random, or moved by the images beside it."""

import warnings

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from repaudit import scan
from repaudit.preprocessing import Preprocess
from repaudit.sources import classifier_of, load_model

SIDE, CLASSES = 4, 3
PREPROCESS = Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3, size=(SIDE, SIDE), source="test")


class Finished(nn.Module):
    """A linear layer on pixels, and what is done to its answers."""

    def __init__(self, finish) -> None:
        super().__init__()
        self.layer, self.finish = nn.Linear(3 * SIDE * SIDE, CLASSES), finish
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, images):
        return self.finish(self.layer(images.flatten(1)))


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "raw.yaml"
    path.write_text(f"mean: [0, 0, 0]\nstd: [1, 1, 1]\nsize: {SIDE}\n")
    return str(path)


def exported(path, network, rows=2):
    torch.export.save(torch.export.export(network, (torch.rand(rows, 3, SIDE, SIDE),)), path)


def with_dropout(path):
    exported(path, Finished(nn.Dropout(0.5)).train())


def with_batch_statistics(path):
    exported(path, Finished(nn.BatchNorm1d(CLASSES)).train())


def traced_in_training(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; its files are still about
        network = Finished(lambda z: nn.functional.dropout(z, 0.5, training=True))
        torch.jit.trace(network, torch.rand(2, 3, SIDE, SIDE), check_trace=False).save(str(path))


def minus_the_mean_of_the_batch(path):
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["z"]),
        helper.make_node("ReduceMean", ["z"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["z", "mean"], ["logits"]),
    ]
    weight = np.random.default_rng(0).standard_normal((3 * SIDE * SIDE, CLASSES)).astype(np.float32)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])
    graph = helper.make_graph(nodes, "graph", [images], [logits], [numpy_helper.from_array(weight, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())


PROGRAMS = {
    "dropout.pt2": (with_dropout, "random-network"),
    "statistics.pt2": (with_batch_statistics, "batch-dependent-network"),
    "traced.ts": (traced_in_training, "random-network"),
    "mean.onnx": (minus_the_mean_of_the_batch, "batch-dependent-network"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_was_exported_in_training_mode_is_warned_of_in_the_report(tmp_path, monkeypatch, raw, name):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    write, code = PROGRAMS[name]
    write(tmp_path / name)
    images = np.random.default_rng(1).integers(0, 256, (9, SIDE, SIDE, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(9) % CLASSES)

    report = scan(str(tmp_path / name), f"npz:{tmp_path}/data.npz", preprocess=raw, audits=["accuracy"])

    told = {warning.code: warning.message for warning in report.warnings}
    assert code in told
    assert "training mode" in told[code]
    assert "accuracy.top1" in report.metrics


@pytest.mark.parametrize("body", ["z - z.mean(0)", "z + 0.01 * z.cumsum(0)", "z + 0.01 * z.flip(0).cumsum(0)"])
def test_a_function_of_ones_own_that_looks_at_neighbours_is_warned_of(tmp_path, raw, body):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        f"        self.layer = nn.Linear({3 * SIDE * SIDE}, {CLASSES})\n\n"
        f"    def forward(self, images):\n        z = self.layer(images.flatten(1))\n        return {body}\n"
    )

    classifier = load_model(f"py:{tmp_path}/net.py:Net", preprocess=raw)

    assert [notice.code for notice in classifier.card.notices] == ["batch-dependent-network"]


UNSTEADY = {
    "random-network": lambda z: z + torch.rand(z.shape),
    "batch-dependent-network": lambda z: z - z.mean(0),
}


@pytest.mark.parametrize("code", UNSTEADY)
def test_a_network_in_memory_is_found_out_by_the_image_that_is_asked_alone(code):
    classifier = classifier_of(Finished(UNSTEADY[code]), preprocess=PREPROCESS)

    assert [notice.code for notice in classifier.card.notices] == [code]


@pytest.mark.parametrize("name", ["sound.pt2", "fixed.pt2"])
def test_of_a_sound_program_nothing_is_said(tmp_path, raw, name):
    exported(tmp_path / name, Finished(nn.Identity()).eval(), rows=3)

    assert load_model(str(tmp_path / name), preprocess=raw).card.notices == ()


def test_last_bits_of_half_precision_that_move_are_no_neighbours_heeded():
    def half(z):
        return (z + 2e-3 * z.mean(0)).half().float()

    assert classifier_of(Finished(half), preprocess=PREPROCESS).card.notices == ()
    assert classifier_of(Finished(lambda z: z + 2e-3 * z.mean(0)), preprocess=PREPROCESS).card.notices != ()
