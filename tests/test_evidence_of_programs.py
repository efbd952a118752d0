"""Programs that share all their weights and differ in code alone: each is answered for by itself."""

import warnings

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from torch import nn

from repaudit.attacks.journal import journal_path
from repaudit.evidence import collect, evidence_identity, evidence_key
from repaudit.progress import SilentProgress
from repaudit.sources import load_model

ROWS = 8
SHAPE = {"rows": ROWS, "dtype": torch.float32}
SIDE, CLASSES = 4, 3
WEIGHT = np.random.default_rng(0).standard_normal((3 * SIDE * SIDE, CLASSES)).astype(np.float32)


@pytest.fixture
def images(make_images):
    stored = torch.randint(0, 256, (12, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return make_images(stored, np.arange(12) % CLASSES)


@pytest.fixture
def raw(tmp_path):
    """`--preprocess` that leaves pixels as they are."""
    path = tmp_path / "raw.yaml"
    path.write_text(f"mean: [0, 0, 0]\nstd: [1, 1, 1]\nsize: {SIDE}\n")
    return str(path)


def products(images):
    return (images.stored.numpy().reshape(len(images), -1) / 255) @ WEIGHT.astype(np.float64)


class Times(nn.Module):
    """A linear layer and a factor that is an attribute of the script, not of its state."""

    factor: float

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer = nn.Linear(WEIGHT.shape[0], CLASSES, bias=False)
        self.layer.weight.data = torch.from_numpy(WEIGHT.T.copy())
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.flatten(1)) * self.factor


def attributes(first, second):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for factor, path in ((1.0, first), (10.0, second)):
            torch.jit.script(Times(factor).eval()).save(str(path))


def graph(path, *ends, functions=(), outputs=("logits",), constants=()):
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["products"]),
        *ends,
    ]
    answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", CLASSES]) for name in outputs]
    whole = helper.make_graph(nodes, "graph", [images], answers, [numpy_helper.from_array(WEIGHT, "weight")])
    whole.sparse_initializer.extend(constants)
    domains = [helper.make_opsetid("", 17), *([helper.make_opsetid("own", 1)] if functions else [])]
    model = helper.make_model(whole, opset_imports=domains, functions=list(functions), ir_version=8)
    path.write_bytes(model.SerializeToString())
    return model


def functions(first, second):
    for name, path in (("Abs", first), ("Neg", second)):
        body = [helper.make_node(name, ["a"], ["b"])]
        own = helper.make_function("own", "Last", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
        graph(path, helper.make_node("Last", ["products"], ["logits"], domain="own"), functions=[own])


def chosen_outputs(first, second):
    ends = [helper.make_node("Abs", ["products"], ["one"]), helper.make_node("Neg", ["products"], ["other"])]
    for name, path in (("one", first), ("other", second)):
        graph(path, *ends, outputs=[name])


def sparse(first, second):
    for sign, path in ((1, first), (-1, second)):
        kept = numpy_helper.from_array(np.array([sign, 2, 0.5], np.float32), "factors")
        places = numpy_helper.from_array(np.arange(3), "places")
        end = helper.make_node("Mul", ["products", "factors"], ["logits"])
        graph(path, end, constants=[helper.make_sparse_tensor(kept, places, [CLASSES])])


def beside(first, second):
    for sign, path in ((1, first), (-1, second)):
        path.parent.mkdir()
        kept = numpy_helper.from_array(np.array([sign, 2, 0.5], np.float32), "factors")
        (path.parent / "factors.bin").write_bytes(kept.raw_data)
        set_external_data(kept, "factors.bin", 0, len(kept.raw_data))
        kept.ClearField("raw_data")
        constant = helper.make_node("Constant", [], ["factors"], value=kept)
        graph(path, constant, helper.make_node("Mul", ["products", "factors"], ["logits"]))


FACTORS = (np.array([1, 2, 0.5]), np.array([-1, 2, 0.5]))
PAIRS = {
    "attribute of a script": (attributes, "net.ts", (lambda z: z, lambda z: 10 * z)),
    "local function": (functions, "net.onnx", (np.abs, np.negative)),
    "graph output": (chosen_outputs, "net.onnx", (np.abs, np.negative)),
    "sparse weights": (sparse, "net.onnx", (lambda z: FACTORS[0] * z, lambda z: FACTORS[1] * z)),
    "constant beside the file": (beside, "{}/net.onnx", (lambda z: FACTORS[0] * z, lambda z: FACTORS[1] * z)),
}


@pytest.mark.parametrize("difference", PAIRS)
def test_a_program_is_never_answered_for_by_another_with_its_weights(tmp_path, images, raw, difference):
    write, name, answers = PAIRS[difference]
    places = [tmp_path / f"{number}{name.format('-folder')}" for number in (1, 2)]
    write(*places)
    classifiers = [load_model(str(place), preprocess=raw) for place in places]
    assert len({each.card.weights_sha256 for each in classifiers}) == 1

    for classifier, answer in zip(classifiers, answers, strict=True):
        found = collect(classifier, images, rows=ROWS, progress=SilentProgress(), cache=tmp_path / "cache")
        np.testing.assert_allclose(found.evidence.logits, answer(products(images)), rtol=1e-4, atol=1e-4)


def test_an_attack_on_one_program_is_not_continued_on_another(tmp_path, images, raw):
    attributes(tmp_path / "1.ts", tmp_path / "2.ts")

    journals = {
        journal_path(tmp_path, evidence_identity(load_model(str(tmp_path / name), preprocess=raw), images, **SHAPE))
        for name in ("1.ts", "2.ts")
    }

    assert len(journals) == 2


def test_the_same_weights_in_another_checkpoint_are_the_same_evidence(tmp_path, images, raw):
    (tmp_path / "flat.py").write_text(
        "from torch import nn\n"
        f"def net():\n    return nn.Sequential(nn.Flatten(), nn.Linear({WEIGHT.shape[0]}, {CLASSES}))\n"
    )
    stored = nn.Sequential(nn.Flatten(), nn.Linear(WEIGHT.shape[0], CLASSES)).state_dict()
    torch.save(stored, tmp_path / "one.pth")
    torch.save({"state_dict": stored}, tmp_path / "other.pth")

    keys = {
        evidence_key(
            load_model(str(tmp_path / name), arch=f"py:{tmp_path}/flat.py:net", preprocess=raw), images, **SHAPE
        )
        for name in ("one.pth", "other.pth")
    }

    assert len(keys) == 1
