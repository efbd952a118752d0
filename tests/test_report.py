"""The JSON is exact, strict, stable and refuses what it cannot be."""

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import repaudit
from repaudit.errors import InvalidOutput, InvalidReport
from repaudit.finding import Better, Column, Figure, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import Correlation, Counts, Interval, Mean, Replicates, wilson
from repaudit.report import Metric, gather, read, read_per_image, schema, scrubbed, write

TOP_LEVEL = [
    "schema_version",
    "tool",
    "run",
    "model",
    "data",
    "profile",
    "audits",
    "metrics",
    "figures",
    "baseline",
    "comparisons",
    "gates",
    "verdict",
    "warnings",
    "per_image",
]
TOP1 = Measurement(
    key="accuracy.top1", value=0.75, unit=Unit.FRACTION, better=Better.HIGHER, n=1000, interval=wilson(750, 1000)
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**53)
states = st.one_of(
    st.builds(Counts, counts, counts),
    st.builds(Mean, numbers, numbers, counts),
    st.builds(Correlation, numbers, numbers),
    st.builds(
        Replicates,
        numbers,
        st.lists(numbers, min_size=1, max_size=5).map(tuple),
        st.none() | numbers,
    ),
)
intervals = st.builds(Interval, level=numbers, low=numbers, high=numbers, method=st.text(), state=states)
keys = st.from_regex(r"[a-z]{1,4}(\.[a-z0-9_@]{1,6}){1,2}", fullmatch=True)
common = {"value": numbers, "unit": st.sampled_from(Unit), "better": st.sampled_from(Better), "n": counts}
measurements = st.one_of(
    st.builds(Measurement, key=keys, interval=intervals, note=st.text(), **common),
    st.builds(Measurement, key=keys, interval_reason=st.text(), note=st.text(), **common),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
findings = st.lists(
    st.one_of(
        measurements,
        st.builds(Skipped, key=keys, reason=st.text()),
        st.builds(Figure, key=keys, data=st.dictionaries(st.text(), json_values, max_size=3)),
        st.builds(Notice, code=st.text(), message=st.text()),
    ),
    max_size=5,
    unique_by=lambda finding: getattr(finding, "key", id(finding)),
)


@given(found=findings)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_audits_find_reads_back_exactly(found, make_report, tmp_path):
    report = make_report(*found)
    path = tmp_path / "report.json"

    write(report, path)
    again = read(path)

    assert again == report
    assert again.to_json() == report.to_json()
    for finding in found:
        if isinstance(finding, Measurement):
            metric = again.metrics[finding.key]
            assert metric == Metric.of(finding)
            assert math.copysign(1, metric.value) == math.copysign(1, finding.value)
            if finding.interval is not None:
                assert metric.interval == finding.interval
                assert type(metric.interval.state) is type(finding.interval.state)


def test_the_top_level_stands_in_the_order_of_the_documentation(make_report):
    assert list(json.loads(make_report(TOP1).to_json())) == TOP_LEVEL


def test_the_order_of_findings_does_not_reach_the_file(make_report):
    figure = Figure(key="a.b", data={"x": 1})
    other = Measurement(key="a.c", value=1.0, unit=Unit.RATIO, better=Better.LOWER, n=1, interval_reason="not sampled")

    assert make_report(TOP1, figure, other).to_json() == make_report(other, figure, TOP1).to_json()


def test_numpy_values_are_written_as_plain_numbers(make_report):
    measured = Measurement(
        key="a.b", value=np.float64(0.1), unit=Unit.RATIO, better=Better.LOWER, n=np.int64(7), interval_reason="no"
    )
    figure = Figure(key="a.b", data={"x": np.arange(3), "y": (np.float32(0.5), np.bool_(True))})
    content = json.loads(make_report(measured, figure).to_json())

    assert content["metrics"]["a.b"]["value"] == 0.1
    assert content["metrics"]["a.b"]["n"] == 7
    assert content["figures"]["a.b"] == {"x": [0, 1, 2], "y": [0.5, True]}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_with_a_number_that_json_has_not_is_refused_by_place(value):
    with pytest.raises(ValueError, match=r"a\.b\.curve\[1\]"):
        gather([Figure(key="a.b", data={"curve": [0.0, value]})])


def test_a_key_is_found_only_once():
    with pytest.raises(ValueError, match="twice"):
        gather([TOP1, TOP1])
    with pytest.raises(ValueError, match="twice"):
        gather([TOP1, Skipped(key=TOP1.key, reason="no")])
    with pytest.raises(ValueError, match="twice"):
        gather([Column(name="x", values=np.zeros(1)), Column(name="x", values=np.ones(1))])


def test_the_file_is_ascii_and_names_with_stray_bytes_survive_as_escapes(make_report, tmp_path):
    stray = b"caf\xe9".decode("utf-8", "surrogateescape")
    report = make_report(Notice(code="odd", message=f"{stray} ü \x1b[31m"))
    path = tmp_path / "report.json"

    write(report, path)

    assert path.read_bytes().isascii()
    assert read(path).warnings[0].message == "caf\\udce9 ü \x1b[31m"


def test_the_shipped_schema_is_the_one_that_the_program_prints():
    shipped = Path(repaudit.__file__).parent / "report.schema.json"

    assert json.loads(shipped.read_text()) == schema()


def test_the_schema_accepts_a_report_and_refuses_one_without_a_count(make_report, tmp_path):
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    report = write(make_report(TOP1), tmp_path / "report.json", columns={"id": np.array(["a"])})
    content = json.loads(report.to_json())

    validator.validate(content)
    del content["metrics"]["accuracy.top1"]["n"]
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(content)


def test_every_field_of_the_schema_stands_in_the_documentation():
    page = Path(repaudit.__file__).parent.parent / "docs" / "report.md"
    if not page.exists():
        pytest.skip("an installed package has no docs folder")
    written = page.read_text()
    sections = [schema(), *schema()["$defs"].values()]
    fields = {name for section in sections for name in section.get("properties", {})}

    assert sorted(name for name in fields if f"`{name}`" not in written) == []


# --- reading what others wrote


def test_keys_of_a_later_minor_version_are_ignored(make_report, tmp_path):
    report = make_report(TOP1)
    content = json.loads(report.to_json())
    content["schema_version"] = "1.7"
    content["novelty"] = content["run"]["novelty"] = content["metrics"]["accuracy.top1"]["novelty"] = {"x": 1}
    content["metrics"]["accuracy.top1"]["unit"] = "milliseconds"
    path = tmp_path / "later.json"
    path.write_text(json.dumps(content))

    again = read(path)

    assert again.schema_version == "1.7"
    assert again.metrics["accuracy.top1"].unit == "milliseconds"
    assert again.run == report.run


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0"])
def test_another_major_version_is_refused_by_its_number(make_report, tmp_path, version):
    path = tmp_path / "other.json"
    path.write_text(make_report().to_json().replace('"1.0"', f'"{version}"', 1))

    with pytest.raises(InvalidReport, match=f"schema version {version}") as refused:
        read(path)
    assert ("upgrade" in refused.value.remedy) == (version != "0.9")
    assert ("repaudit scan" in refused.value.remedy) == (version == "0.9")


def test_a_comparison_is_called_one_and_not_a_broken_report(tmp_path):
    path = tmp_path / "comparison.json"
    path.write_text('{"schema_version": "1.0", "kind": "comparison", "tool": {"name": "repaudit"}, "rows": []}')

    with pytest.raises(InvalidReport, match="is a comparison") as refused:
        read(path)
    assert "repaudit compare" in refused.value.remedy


def test_no_truncation_of_a_report_reads_as_a_report(make_report, tmp_path):
    whole = make_report(TOP1).to_json().rstrip()
    path = tmp_path / "short.json"

    for length in range(0, len(whole), 97):
        path.write_text(whole[:length])
        with pytest.raises(InvalidReport):
            read(path)


@pytest.mark.parametrize(
    "content",
    ["[]", "null", '"report"', "{}", '{"schema_version": 1}', '{"schema_version": "1.0"}', "[" * 100_000, "\x00"],
)
def test_foreign_json_is_refused(tmp_path, content):
    path = tmp_path / "foreign.json"
    path.write_text(content)

    with pytest.raises(InvalidReport, match=r"foreign\.json"):
        read(path)


def test_a_number_that_strict_json_has_not_is_refused(make_report, tmp_path):
    path = tmp_path / "nan.json"
    path.write_text(make_report(TOP1).to_json().replace("0.75", "NaN", 1))

    with pytest.raises(InvalidReport) as refused:
        read(path)
    assert "NaN" in refused.value.detail


def test_a_metric_without_interval_and_without_reason_is_refused(make_report, tmp_path):
    content = json.loads(make_report(TOP1).to_json())
    content["metrics"]["accuracy.top1"]["interval"] = None
    path = tmp_path / "bare.json"
    path.write_text(json.dumps(content))

    with pytest.raises(InvalidReport, match="interval"):
        read(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(InvalidReport):
            read(path)


# --- the sidecar and the disk


def columns(rng) -> dict[str, np.ndarray]:
    return {
        "id": np.array(["a/ü.png", "b", "c"]),
        "label": np.array([0, 1, 2]),
        "confidence": rng.random(3),
        "iteration": np.array([1.0, np.nan, np.inf], dtype=np.float32),
        "top5": np.array([True, False, True]),
    }


def test_columns_read_back_exactly(make_report, tmp_path, rng):
    path = tmp_path / "net.json"
    given = columns(rng)

    report = write(make_report(), path, columns=given)
    again = read_per_image(read(path).per_image, path)

    assert read(path) == report
    assert report.per_image.columns == list(given) == list(again)
    for name, values in given.items():
        assert again[name].dtype == values.dtype
        assert again[name].tobytes() == values.tobytes()


def test_the_same_scan_written_twice_gives_the_same_bytes(make_report, tmp_path, rng):
    given = columns(rng)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        write(make_report(TOP1), folder / "report.json", columns=given)

    for name in ("report.json", "per_image.npz"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_two_reports_in_one_folder_keep_their_own_columns(make_report, tmp_path, rng):
    first, second = columns(rng), columns(rng)
    write(make_report(), tmp_path / "a.json", columns=first)
    write(make_report(), tmp_path / "b.json", columns=second)

    read_back = read_per_image(read(tmp_path / "a.json").per_image, tmp_path / "a.json")

    assert np.array_equal(read_back["confidence"], first["confidence"])


def test_columns_of_another_report_are_refused(make_report, tmp_path, rng):
    path = tmp_path / "report.json"
    section = write(make_report(), path, columns=columns(rng)).per_image
    (tmp_path / "per_image.npz").write_bytes(b"something else")
    with pytest.raises(InvalidReport, match="not the file"):
        read_per_image(section, path)

    (tmp_path / "per_image.npz").unlink()
    with pytest.raises(InvalidReport, match="beside it"):
        read_per_image(section, path)


def test_columns_of_unequal_length_or_of_objects_are_refused(make_report, tmp_path):
    for wrong in ({"id": np.array(["a", "b"]), "x": np.zeros(3)}, {"x": np.array([{}])}):
        with pytest.raises(ValueError, match=r"length|Object"):
            write(make_report(), tmp_path / "report.json", columns=wrong)

    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_leaves_the_old_one_and_no_litter(make_report, tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    write(make_report(TOP1), path)
    before = path.read_bytes()

    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("repaudit.report.writing.os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write(make_report(), path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_keeps_pointing_and_its_target_is_replaced(make_report, tmp_path):
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)

    write(make_report(TOP1), link)

    assert link.is_symlink()
    assert "accuracy.top1" in read(target).metrics


def test_a_folder_and_a_device_are_never_replaced(make_report, tmp_path):
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(InvalidOutput):
            write(make_report(), path)


# --- secrets


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["--hf-token", "abc123", "-n", "5"], ["--hf-token", "***", "-n", "5"]),
        (["--token=abc123"], ["--token=***"]),
        (["--set", "model.api_key=abc123"], ["--set", "model.api_key=***"]),
        (["https://user:pass@example.org/x"], ["https://***@example.org/x"]),
        (["https://example.org/x?sig=abc&v=1"], ["https://example.org/x?sig=***&v=1"]),
        (["hf_abcdefghijklmnopqrstuvwx"], ["***"]),
        (["scan", "resnet50.a1_in1k", "--data", "val", "--set", "calibration.bins=20"], None),
        (["tokens.safetensors", "--arch", "tokenformer"], None),
    ],
)
def test_secrets_leave_the_command_line_and_nothing_else_does(given, kept):
    assert scrubbed(given) == (given if kept is None else kept)


def test_a_warning_that_two_audits_raise_stands_once(make_report):
    notice = Notice(code="softmax-outputs", message="the network answers with probabilities")

    report = make_report(notice, notice, Notice(code="softmax-outputs", message="otherwise"))

    assert [warning.message for warning in report.warnings] == ["the network answers with probabilities", "otherwise"]
