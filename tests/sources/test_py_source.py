"""`py:FILE.py:factory` runs one's own code, and nothing of it stays behind but the network."""

import sys

import pytest
import torch

from repaudit.errors import Interrupted, InvalidModel
from repaudit.sources import open_model


@pytest.fixture
def opened(half, request_for):
    return lambda ref, **changed: open_model(request_for(ref, preprocess=str(half), **changed))


def test_the_factory_gets_its_arguments_with_their_types(networks, opened):
    card = opened(f"py:{networks}:tiny", arguments={"classes": 9}).card

    assert card.classes_count == 9
    assert dict(card.arguments) == {"classes": 9}
    assert card.resolved == "py:networks.py:tiny"
    assert card.notes[0] == "ran the code of networks.py"


def test_a_file_may_import_its_neighbours_and_the_path_is_as_before(tmp_path, opened):
    (tmp_path / "blocks_beside.py").write_text("from torch import nn\nHEAD = nn.Linear(6, 4)\n")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    from blocks_beside import HEAD\n"
        "    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), HEAD)\n"
    )
    before = list(sys.path)

    card = opened(f"py:{tmp_path / 'net.py'}:make").card

    assert sys.path == before
    assert set(card.files) == {"net.py", "blocks_beside.py"}


def test_an_edited_file_is_read_again_and_hashes_differently(networks, opened):
    first = opened(f"py:{networks}:tiny").card
    networks.write_text(networks.read_text().replace("classes=5", "classes=6"))
    second = opened(f"py:{networks}:tiny").card

    assert (first.classes_count, second.classes_count) == (5, 6)
    assert first.files["networks.py"] != second.files["networks.py"]


def test_a_file_called_like_a_library_hides_no_library(tmp_path, opened, networks):
    import json

    path = tmp_path / "json.py"
    path.write_text(networks.read_text())

    opened(f"py:{path}:tiny")

    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("py:absent.py:make", "there is no file `absent.py`"),
        ("py:net.py", "names no factory"),
        ("py:net:make", "names no factory"),
        ("py:{file}:tinny", "has no function `tinny`"),
        ("py:{file}:F", "has no function `F`"),
    ],
)
def test_a_reference_without_a_factory_is_refused(reference, problem, networks, opened):
    with pytest.raises(InvalidModel, match=problem):
        opened(reference.format(file=networks))


def test_a_misspelt_function_gets_the_nearest(networks, opened):
    with pytest.raises(InvalidModel) as refusal:
        opened(f"py:{networks}:tinny")

    assert refusal.value.remedy.endswith(":tiny")


def test_an_unknown_argument_is_named_with_the_nearest(networks, opened):
    with pytest.raises(InvalidModel, match="takes no argument `clases`") as refusal:
        opened(f"py:{networks}:tiny", arguments={"clases": 9})

    assert refusal.value.remedy == "--set model.classes=9"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("def make(:\n", "could not be imported"),
        ("import no_such_library\n", "could not be imported"),
        ("def make():\n    raise KeyError('weights')\n", "could not be built"),
        ("def make():\n    return 3\n", "returned int, not a torch.nn.Module"),
        ("from torch import nn\npreprocess = 3\ndef make():\n    return nn.Flatten()\n", "is int, not a dict"),
    ],
)
def test_code_that_fails_is_reported_as_the_users(code, problem, tmp_path, opened):
    (tmp_path / "net.py").write_text(code)

    with pytest.raises(InvalidModel, match=problem):
        opened(f"py:{tmp_path / 'net.py'}:make")


@pytest.mark.parametrize(
    ("code", "problem", "where"),
    [
        ("import sys\n\nsys.exit(0)\n", "could not be imported", "net.py, line 3"),
        ("import sys\n\n\ndef make():\n    sys.exit(0)\n", "could not be built", "net.py, line 5, in make"),
        ("class Odd(BaseException):\n    pass\n\n\ndef make():\n    raise Odd\n", "could not be built", "line 6"),
    ],
)
def test_code_that_ends_the_program_is_reported_as_the_users_with_its_line(code, problem, where, tmp_path, opened):
    (tmp_path / "net.py").write_text(code)

    with pytest.raises(InvalidModel, match=problem) as refusal:
        opened(f"py:{tmp_path / 'net.py'}:make")

    assert "net.py" in refusal.value.problem
    assert ("SystemExit" in refusal.value.detail) == ("sys" in code)
    assert where in refusal.value.detail


@pytest.mark.parametrize("stop", ["KeyboardInterrupt", "MemoryError", "Interrupted(15)"])
@pytest.mark.parametrize("code", ["{0}", "def make():\n    {0}"])
def test_an_interruption_of_the_users_code_is_no_fault_of_the_model(code, stop, tmp_path, opened):
    (tmp_path / "net.py").write_text("from repaudit.errors import Interrupted\n" + code.format(f"raise {stop}"))

    with pytest.raises((KeyboardInterrupt, MemoryError, Interrupted)):
        opened(f"py:{tmp_path / 'net.py'}:make")


@pytest.mark.filterwarnings(r"ignore:`torch\.jit\..*` is deprecated:FutureWarning")
@pytest.mark.filterwarnings(r"ignore:`torch\.jit\..*` is deprecated:DeprecationWarning")
def test_a_torchscript_program_is_refused(networks, opened):
    networks.write_text(
        networks.read_text() + "\n\nimport torch\n\n\ndef scripted():\n    return torch.jit.script(tiny())\n"
    )

    with pytest.raises(InvalidModel, match="returned a TorchScript program"):
        opened(f"py:{networks}:scripted")


def test_building_leaves_the_global_random_state_alone(networks, opened):
    before = torch.get_rng_state()

    opened(f"py:{networks}:tiny")

    assert torch.equal(torch.get_rng_state(), before)
