"""What holds for every audit, a newcomer's too, without naming it."""

import json
import re

import numpy as np
import pytest

from repaudit import audits
from repaudit.audits import Material
from repaudit.case import EvaluationShape
from repaudit.data import DataRequest, open_images
from repaudit.errors import InvalidProfile
from repaudit.evidence import collect
from repaudit.finding import Bounds, Column, Figure, Measurement, Skipped
from repaudit.metrics.intervals import Replicates
from repaudit.progress import SilentProgress
from repaudit.report import gather
from repaudit.sources import load_model

NAMES = audits.names()
SHAPE = EvaluationShape(rows=16, calls=2)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("REPAUDIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    classifier = load_model("embedded:digits-cnn")
    images = open_images(
        DataRequest(
            ref="digits",
            preprocess=classifier.card.preprocess,
            classes_count=10,
            class_ids=classifier.card.class_ids,
            limit=120,
            seed=0,
            skip_bad_images=False,
            workers=0,
            progress=SilentProgress(),
        )
    )
    evidence = collect(classifier, images, rows=SHAPE.rows, progress=SilentProgress()).evidence
    patch.undo()
    return Material(
        classifier=classifier, images=images, evidence=evidence, seed=0, shape=SHAPE, progress=SilentProgress()
    )


def asked(name):
    """Parameters without which an audit could measure nothing, or not all: another model where it takes one."""
    fields = audits.load(name).parameters.model_fields
    return {"surrogate": "embedded:digits-cnn"} if "surrogate" in fields else {}


@pytest.fixture(scope="module")
def found(material):
    return {name: list(audits.bind(name, asked(name)).run(material)) for name in NAMES}


def pattern_of(key: str) -> re.Pattern[str]:
    return re.compile(r"[^.]+".join(map(re.escape, key.split("*"))))


@pytest.mark.parametrize("name", NAMES)
def test_it_asks_one_question_and_documents_itself(name):
    assert audits.load(name).question.endswith("?")
    page = audits.Path(audits.__file__).parents[2] / "docs" / "audits" / f"{name}.md"
    text = page.read_text()
    assert [key for key in audits.load(name).keys if key.split(".")[0] not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_it_yields_only_keys_that_it_declares(name, found):
    patterns = [pattern_of(key) for key in audits.bind(name, {}).keys]
    keys = [finding.key for finding in found[name] if isinstance(finding, Measurement)]

    assert keys
    assert [key for key in keys if not any(pattern.fullmatch(key) for pattern in patterns)] == []


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_it_declares_is_measured_or_skipped_with_a_reason(name, found):
    said = {finding.key for finding in found[name] if isinstance(finding, Measurement | Skipped)}

    assert [key for key in audits.bind(name, {}).keys if not any(pattern_of(key).fullmatch(one) for one in said)] == []
    assert all(finding.reason for finding in found[name] if isinstance(finding, Skipped))


@pytest.mark.parametrize("name", NAMES)
def test_what_it_measures_has_the_unit_direction_and_bounds_that_it_declares(name, found):
    declared = audits.bind(name, {}).offer.declared
    for finding in found[name]:
        if not isinstance(finding, Measurement):
            continue
        spec = next(spec for spec in declared if pattern_of(spec.pattern).fullmatch(finding.key))
        state = None if finding.interval is None else finding.interval.state
        bounds = Bounds.NONE if state is None else Bounds.RESAMPLED if isinstance(state, Replicates) else Bounds.ANY
        assert (spec.unit, spec.better, spec.bounds) == (finding.unit, finding.better, bounds), finding.key


@pytest.mark.parametrize("name", NAMES)
def test_what_it_offers_under_its_parameters_is_among_what_it_declares_at_all(name):
    audit, bound = audits.load(name), audits.bind(name, {})
    patterns = [pattern_of(key) for key in audit.keys]

    for key in (*bound.keys, *bound.offer.elsewhere):
        assert any(pattern.fullmatch(key) for pattern in patterns), key


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_the_same_twice(name, found, material):
    again = list(audits.bind(name, asked(name)).run(material))

    for first, second in zip(found[name], again, strict=True):
        if isinstance(first, Column):
            np.testing.assert_array_equal(first.values, second.values)
        else:
            assert first == second


@pytest.mark.parametrize("name", NAMES)
def test_its_columns_have_one_value_an_image_and_its_figures_are_strict_json(name, found):
    for finding in found[name]:
        if isinstance(finding, Column):
            assert len(finding.values) == 120
    figures = gather(found[name]).figures
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert len(figures) == sum(isinstance(finding, Figure) for finding in found[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_interval_holds_its_value_s_neighbourhood_in_order(name, found):
    for finding in found[name]:
        if isinstance(finding, Measurement) and finding.interval is not None:
            assert finding.interval.low <= finding.interval.high
            assert finding.n > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_parameter_is_refused(name):
    with pytest.raises(InvalidProfile, match="no parameter `nonsense`"):
        audits.bind(name, {"nonsense": 1})


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_says_what_it_is(name):
    fields = audits.load(name).parameters.model_fields

    assert [key for key, field in fields.items() if not (field.description or "").strip().endswith(".")] == []


@pytest.mark.parametrize("name", NAMES)
def test_its_parameters_survive_the_report(name):
    parameters = audits.bind(name, {}).parameters

    assert audits.bind(name, json.loads(parameters.model_dump_json())).parameters == parameters
