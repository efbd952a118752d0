"""Exported programs whose end, whose outputs, whose order of axes or whose batch is easily mistaken for another."""

import warnings

import pytest
import torch
from torch import nn

from repaudit.errors import InvalidModel
from repaudit.sources import load_model

CLASSES, WIDTH, SIDE = 6, 5, 8


class Ended(nn.Module):
    """Two linear layers, and something done to their scores."""

    def __init__(self, end):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.head = nn.Linear(3 * SIDE * SIDE, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.end = end

    def features(self, images):
        return torch.relu(self.first(images.flatten(1)))

    def scores(self, images):
        return self.head(self.features(images))

    def forward(self, images):
        return self.end(self, images)


@pytest.fixture
def images():
    return torch.rand(7, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def opened(tmp_path):
    """Opens what `save` makes of a network."""

    def make(save, network, given=f"size: {SIDE}\n", batch=2, shape=(3, SIDE, SIDE), **options):
        path = save(network.eval(), tmp_path, torch.rand(batch, *shape))
        (tmp_path / "p.yaml").write_text(f"mean: [0, 0, 0]\nstd: [1, 1, 1]\n{given}")
        return load_model(str(path), preprocess=str(tmp_path / "p.yaml"), **options)

    return make


def exported(network, folder, example):
    open_batch = ({0: torch.export.Dim("n", min=1, max=99)},) if len(example) > 1 else None
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=open_batch), str(folder / "m.pt2"))
    return folder / "m.pt2"


def traced(network, folder, example):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and files of it are still about
        torch.jit.trace(network, example, strict=False).save(str(folder / "m.ts"))
    return folder / "m.ts"


def answered(classifier, images):
    with torch.no_grad():
        return classifier.logits(images)


BOTH = pytest.mark.parametrize("save", [exported, traced])


def pair(network, images):
    return network.features(images), network.scores(images)


def mapping(network, images):
    return {"features": network.features(images), "scores": network.scores(images)}


def nested(network, images):
    return network.features(images), {"main": network.scores(images)}


@BOTH
@pytest.mark.parametrize(
    ("end", "chosen", "names"),
    [(pair, 1, "0, 1"), (mapping, "scores", "features, scores"), (nested, "1.main", "0, 1.main")],
)
def test_of_several_outputs_one_must_be_chosen(opened, images, save, end, chosen, names):
    network = Ended(end)
    with pytest.raises(InvalidModel, match="has 2 outputs") as refused:
        opened(save, network)
    assert refused.value.detail == f"outputs: {names}"
    assert refused.value.remedy.startswith("--set model.output=")
    with pytest.raises(InvalidModel, match="has no output `logit`"):
        opened(save, network, arguments={"output": "logit"})

    classifier = opened(save, network, arguments={"output": chosen})

    torch.testing.assert_close(answered(classifier, images), network.scores(images).detach())
    torch.testing.assert_close(classifier.features(images), network.features(images).detach())
    torch.testing.assert_close(classifier.split.weight, network.head.weight.detach())


@BOTH
def test_a_single_output_in_a_tuple_needs_no_choice(opened, images, save):
    network = Ended(lambda own, given: (own.scores(given),))

    torch.testing.assert_close(answered(opened(save, network), images), network.scores(images).detach())


class Filled(nn.Module):
    """A script whose dict is filled step by step, so that its graph does not show what is in it."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        answers: dict[str, torch.Tensor] = {}
        answers["images"] = images.flatten(1)
        answers["scores"] = self.head(images.flatten(1))
        return answers


def test_outputs_that_only_running_shows_are_asked_about_too(opened, images, tmp_path):
    def scripted(network, folder, example):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(network).save(str(folder / "m.ts"))
        return folder / "m.ts"

    network = Filled()
    with pytest.raises(InvalidModel, match="has 2 outputs"):
        opened(scripted, network)
    classifier = opened(scripted, network, arguments={"output": "scores"})

    torch.testing.assert_close(answered(classifier, images), network.head(images.flatten(1)).detach())
    assert "does not tell its outputs apart" in classifier.card.head.reason


@BOTH
@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("planar", [False, True])
def test_what_goes_into_a_closing_softmax_is_taken_and_the_head_is_found(opened, images, save, logarithm, planar):
    def end(own, given):
        scores = own.scores(given)
        scores = scores[:, :, None, None] if planar else scores
        return (scores.log_softmax(1) if logarithm else scores.softmax(1)).flatten(1)

    network = Ended(end)
    classifier = opened(save, network)

    torch.testing.assert_close(answered(classifier, images), network.scores(images).detach())
    assert "the program ends in a softmax: its input is taken as the logits" in classifier.card.notes
    if not planar:
        torch.testing.assert_close(classifier.features(images), network.features(images).detach())


NOT_OVER_CLASSES = {
    "over images": lambda own, given: own.scores(given).softmax(0),
    "in groups": lambda own, given: own.scores(given).view(-1, 2, 3).softmax(2).flatten(1),
    "of one": lambda own, given: own.scores(given)[:, :, None].softmax(-1).flatten(1),
}


@BOTH
@pytest.mark.parametrize("end", NOT_OVER_CLASSES)
def test_a_softmax_that_is_none_over_the_classes_stays(opened, images, save, end):
    network = Ended(NOT_OVER_CLASSES[end])
    classifier = opened(save, network)

    torch.testing.assert_close(answered(classifier, images), network(images).detach())
    assert classifier.split is None
    assert "not linear" in classifier.card.head.reason


@BOTH
def test_classes_that_change_places_behind_a_softmax_keep_the_places_of_the_file(opened, images, save):
    network = Ended(lambda own, given: own.scores(given).softmax(1).view(-1, 2, 3).transpose(1, 2).flatten(1))
    classifier = opened(save, network)

    torch.testing.assert_close(answered(classifier, images).softmax(1), network(images).detach())
    assert classifier.split is None


@BOTH
def test_a_softmax_of_a_softmax_is_uncovered_once(opened, images, save):
    network = Ended(lambda own, given: own.scores(given).softmax(1).softmax(1))

    torch.testing.assert_close(answered(opened(save, network), images).softmax(1), network(images).detach())


class Baked(Ended):
    """Tracing makes a constant of the number of its images."""

    def features(self, images):
        return torch.relu(self.first(images.reshape(int(images.shape[0]), -1)))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 50])
def test_the_batch_with_which_a_program_was_traced_is_found(opened, images, batch):
    network = Baked(lambda own, given: own.scores(given))
    classifier = opened(traced, network, batch=batch)

    assert f"the program takes batches of {batch}: others are padded and split" in classifier.card.notes
    torch.testing.assert_close(answered(classifier, images), network.scores(images).detach())
    torch.testing.assert_close(classifier.features(images), network.features(images).detach())


def test_a_traced_batch_is_found_without_a_given_size_too(opened):
    network = Baked(lambda own, given: own.scores(given))

    assert (
        "the program takes batches of 4: others are padded and split"
        in opened(traced, network, given="", batch=4).card.notes
    )


class Last(nn.Module):
    """Takes the channels last, and says so by moving them."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, CLASSES, 3)

    def forward(self, images):
        return self.maps(images.permute(0, 3, 1, 2)).mean((2, 3))


@pytest.mark.parametrize("given", ["", "layout: nhwc\n"])
def test_sizes_of_a_program_that_takes_channels_last_are_those_of_its_images(opened, given):
    network = Last()
    classifier = opened(exported, network, given=given, shape=(SIDE, 4, 3))
    images = torch.rand(3, 3, SIDE, 4)

    assert classifier.card.preprocess.size == (SIDE, 4)
    assert classifier.card.preprocess.layout == "nhwc"
    torch.testing.assert_close(answered(classifier, images), network(images.permute(0, 2, 3, 1)).detach())


def test_a_layout_that_contradicts_the_program_is_an_error_that_says_so(opened):
    with pytest.raises(InvalidModel, match=r"says `layout: nchw`, but .* takes images as nhwc"):
        opened(exported, Last(), given="layout: nchw\n", shape=(3, 3, 3))


def test_where_nothing_tells_the_order_of_the_axes_it_is_asked_for(opened):
    network = nn.Sequential(nn.Flatten(), nn.Linear(27, CLASSES))

    with pytest.raises(InvalidModel, match="channels may come first or last"):
        opened(exported, network, given="", shape=(3, 3, 3))
    assert opened(exported, network, given="layout: nhwc\n", shape=(3, 3, 3)).card.preprocess.layout == "nhwc"
