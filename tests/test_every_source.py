"""What every model source promises, a newcomer included."""

import subprocess
import sys

import pytest

from repaudit.errors import InvalidModel
from repaudit.sources import load_model, names, source_named


def test_the_folder_holds_the_sources_of_the_command_line():
    assert {"timm", "torchvision", "checkpoint", "py"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_a_source_explains_itself_with_examples_that_reach_it(name):
    source = source_named(name)

    assert source.summary
    assert source.examples


@pytest.mark.parametrize("name", names())
def test_a_source_answers_nonsense_with_the_problem_and_a_remedy(name):
    with pytest.raises(InvalidModel) as refusal:
        load_model(f"{name}:no such thing at all", offline=True)

    assert refusal.value.problem
    assert refusal.value.remedy


@pytest.mark.parametrize(
    "reference", ["tim:resnet50", "http://example.org/x", "owner/name", "model.onnx", "net.pt2", "."]
)
def test_a_reference_of_no_source_is_never_handed_to_another(reference):
    with pytest.raises(InvalidModel) as refusal:
        load_model(reference, offline=True)

    assert refusal.value.remedy


def test_a_file_of_a_foreign_format_is_refused_with_what_can_be_read():
    with pytest.raises(InvalidModel, match="reads checkpoints") as refusal:
        load_model("model.tflite")

    assert ".safetensors .pth .pt .tar .th" in refusal.value.detail
    assert ".onnx" in refusal.value.detail


@pytest.mark.parametrize("name", ["test.npz", "test.csv"])
def test_data_in_the_place_of_a_model_is_told_where_it_belongs(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")

    with pytest.raises(InvalidModel, match="is a file of images") as refusal:
        load_model(str(tmp_path / name))

    assert refusal.value.remedy == f"repaudit scan MODEL --data {name[5:]}:{tmp_path / name}"


def test_a_folder_is_pointed_to_its_own_source(tmp_path):
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(InvalidModel, match="is a folder") as refusal:
        load_model(str(tmp_path))

    assert refusal.value.remedy.startswith("local-dir:")


def test_arch_beside_a_whole_model_is_refused():
    with pytest.raises(InvalidModel, match="belongs to a checkpoint"):
        load_model("resnet18", arch="resnet18")


def test_sources_are_listed_without_importing_torch_or_timm():
    code = (
        "import sys, repaudit.sources as s; s.names(); "
        "print([m for m in ('torch', 'timm', 'torchvision') if m in sys.modules])"
    )

    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert listed.stdout.strip() == "[]"
