"""The torch twin of an ONNX graph: when it is believed, and how many images it is asked about at a time."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from repaudit.sources import load_model
from repaudit.sources._onnx_engines import agreement

_spec = importlib.util.spec_from_file_location("onnx_graphs", Path(__file__).with_name("onnx_graphs.py"))
onnx_graphs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(onnx_graphs)
Recipe, CLASSES, WIDTH, SIDE = onnx_graphs.Recipe, onnx_graphs.CLASSES, onnx_graphs.WIDTH, onnx_graphs.SIDE


@pytest.fixture
def opened(tmp_path):
    """Opens a graph as a classifier that does not normalise."""

    def open_graph(model):
        (tmp_path / "p.yaml").write_text("mean: [0, 0, 0]\nstd: [1, 1, 1]\n")
        onnx.save(model, str(tmp_path / "m.onnx"))
        return load_model(str(tmp_path / "m.onnx"), preprocess=str(tmp_path / "p.yaml"))

    return open_graph


def held_batch():
    """A graph for one image whose reshape says so, as exporters write `view(1, -1)`."""
    model = Recipe(batch=1).model()
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    flatten.op_type = "Reshape"
    flatten.input.append("shape")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, WIDTH]), "shape"))
    return model


def gradients(classifier, images):
    """Of the first logit, and how often the twin was asked."""
    asked = []
    hook = classifier.network.twin.register_forward_hook(lambda *_: asked.append(1))
    pixels = images.clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(classifier.logits(pixels)[:, 0].sum(), pixels)
    hook.remove()
    return slope, len(asked)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_twin_of_a_fixed_batch_is_asked_about_all_images_at_once(opened, batch):
    images = torch.rand(7, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    free, _ = gradients(opened(Recipe().model()), images)

    slope, asked = gradients(opened(Recipe(batch=batch).model()), images)

    assert asked == 1
    torch.testing.assert_close(slope, free, rtol=1e-5, atol=1e-6)


def test_a_twin_that_holds_its_batch_is_asked_about_one_image_at_a_time(opened):
    images = torch.rand(7, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    free, _ = gradients(opened(Recipe().model()), images)

    slope, asked = gradients(opened(held_batch()), images)

    assert asked == 7
    torch.testing.assert_close(slope, free, rtol=1e-5, atol=1e-6)


class Partly(torch.nn.Module):
    """Answers as another module; its gradients reach only the columns left of `reach`."""

    def __init__(self, truth, reach):
        super().__init__()
        self.truth, self.reach = truth, reach

    def forward(self, images):
        return self.truth(torch.cat([images[..., : self.reach], images[..., self.reach :].detach()], dim=3))


@pytest.mark.parametrize(("reach", "believed"), [(SIDE, True), (SIDE // 2, False), (1, False)])
def test_a_twin_that_gives_part_of_the_gradient_is_not_believed(opened, reach, believed):
    network = opened(Recipe().model()).network
    network.twin = Partly(network.twin, reach).eval()

    reason = agreement(network, torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))).reason

    assert (reason is None) == believed
    assert believed or "finite differences of onnxruntime have cosine" in reason


def test_a_twin_with_the_gradient_turned_round_is_not_believed(opened):
    network = opened(Recipe().model()).network
    truth = network.twin

    class Turned(torch.nn.Module):
        def forward(self, images):
            return truth(2 * images.detach() - images)

    network.twin = Turned().eval()

    found = agreement(network, torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)))
    assert "cosine -1.00" in found.reason


def test_the_notes_say_which_program_answers_and_how_near_the_gradients_came(opened):
    (told,) = [note for note in opened(Recipe().model()).card.notes if "answers" in note]

    assert f"onnxruntime {onnxruntime.__version__} (CPU) answers; gradients from a torch twin by onnx2torch" in told
    near, cosine = re.search(r"logits within (\S+) of their spread, slopes of cosine ([\d.]+)$", told).groups()
    assert float(near) < 1e-5
    assert 0.99 < float(cosine) <= 1.0


def test_the_notes_of_a_graph_without_a_twin_promise_no_gradients(opened):
    model = Recipe(opset=18).model()
    model.graph.node[1].op_type = "Shrink"

    assert f"onnxruntime {onnxruntime.__version__} (CPU) answers" in opened(model).card.notes


def test_operations_of_a_graph_are_counted_by_hand(opened):
    positions = (SIDE - 2) ** 2

    assert opened(Recipe().model()).card.operations == 2 * (WIDTH * 3 * 9 * positions + CLASSES * WIDTH)
