"""`repaudit list models --head` answers from the shipped table."""

import json

import pytest

from repaudit.heads import read


@pytest.fixture
def listed(repaudit):
    return lambda *arguments: repaudit("list", *arguments, "--head")


def test_the_layer_and_the_width_of_a_named_architecture_are_printed(listed):
    told = listed("models", "resnet50").stdout

    # He et al. 2015, table 1: 2048 channels go into the fully connected layer
    rows = [line.split() for line in told.splitlines() if line.startswith("  ")]
    assert rows == [["resnet50", "linear", "2048", "fc"]]


def test_a_library_can_be_asked_for(listed):
    told = listed("models", "torchvision:squeezenet1_*").stdout

    assert told.count("torchvision:squeezenet1_") == 2
    assert "not affine" in told


def test_json_holds_every_row(listed):
    found = json.loads(listed("models", "--json").stdout)

    assert found["versions"] == read().versions
    assert len(found["architectures"]) == len(read().rows)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["models", "resnet5O"], "repaudit list models resnet50 --head"),
        (["audits"], "repaudit list models --head"),
        (["models", "r10.onnx"], "repaudit scan r10.onnx"),
    ],
)
def test_what_is_no_architecture_is_answered_with_the_command_that_works(listed, arguments, remedy):
    result = listed(*arguments)

    assert result.returncode == 2
    assert remedy in result.stderr
