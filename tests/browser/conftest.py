"""A real Chromium, and the page of a report in which everything occurs."""

import base64
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from repaudit.finding import Better, Figure, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import wilson
from repaudit.report import AuditEntry, BaselineSection, Comparison, Report, Verdict
from repaudit.report.verdicts import WaiverEntry

ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE_S = 20
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>\"'\x1b[31m\u202e"
LONG = "ilsvrc/" + "n01440764_" * 60


def _missing(what: str) -> None:
    if os.environ.get("REPAUDIT_REQUIRE_BROWSER") == "1":
        pytest.fail(f"REPAUDIT_REQUIRE_BROWSER is 1 and there is no {what}")
    pytest.skip(f"there is no {what}")


@dataclass(frozen=True)
class Browser:
    """A window that can be sized, coloured and asked."""

    driver: object

    def open(self, page: Path, *, width: int = 1280, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Loads the page afresh in a window of so many CSS pixels."""
        from selenium.webdriver.support.ui import WebDriverWait

        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.emulate(scheme=scheme, media=media)
        self.driver.get("about:blank")
        self.driver.get(page.as_uri())
        WebDriverWait(self.driver, PATIENCE_S).until(lambda _: self.run("return document.readyState") == "complete")

    def emulate(self, *, scheme: str = "light", media: str = "", motion: str = "reduce") -> None:
        """What the reader's system prefers, and whether the page is on screen or on paper.

        Without motion a page stands still when something is clicked.
        """
        asked = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in asked.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def run(self, script: str, *arguments: object) -> object:
        """What a function body returns."""
        return self.driver.execute_script(script, *arguments)

    def requests(self) -> list[str]:
        """Addresses asked for since the last call, but for what Chromium's own start page asks."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
            and not message["params"]["documentURL"].startswith(("chrome", "about:"))
        ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """One window for all tests of a file."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        _missing("chromium")
    server = shutil.which("chromedriver")
    if server is None:
        _missing("chromedriver")
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        _missing("selenium")

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(server))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def share(name: str, successes: int, n: int = 1000) -> Measurement:
    return Measurement(
        key=name, value=successes / n, unit=Unit.FRACTION, better=Better.HIGHER, n=n, interval=wilson(successes, n)
    )


def bare(name: str, value: float) -> Measurement:
    return Measurement(
        key=name, value=value, unit=Unit.RATIO, better=Better.LOWER, n=900, interval_reason="not resampled: cost"
    )


def _verdict(outcome: str, **changes: object) -> Verdict:
    values = {
        "gate": "top1 >= 0.9 @95%", "metric": "accuracy.top1", "level": "fail", "limit": 0.9, "observed": 0.812,
        "bound": 0.83, "outcome": outcome, "failed": outcome in {"fail", "not measured"},
        "reason": "accuracy.top1 is 0.812, and its one-sided 95 % upper bound, 0.83, lies below the limit too.",
    }  # fmt: skip
    return Verdict(**(values | changes))


def _picture() -> str:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), (120, 80, 40)).save(content, "JPEG")
    return base64.b64encode(content.getvalue()).decode()


def _per_class() -> Figure:
    names = [HOSTILE, LONG, *(f"class {at}" for at in range(2, 60))]
    right = [((7 * at) % 60) / 60 for at in range(60)]
    return Figure(
        key="accuracy.per_class",
        data={"class": list(range(60)), "name": names, "images": [40 + at for at in range(60)], "accuracy": right},
    )


def _battery() -> Figure:
    check = {"value": 0.31, "threshold": 0.01, "sentence": "730 of 2,359 gradients were exactly zero"}
    checks = {"zero_gradient": {**check, "verdict": "failed"}, "noise_ratio": {**check, "verdict": "passed"}}
    return Figure(key="masking.battery", data={**checks, "transfer_gap": {**check, "verdict": "skipped"}})


def _reliability() -> Figure:
    count = [0] * 10 + [10, 20, 30, 40, 900]
    mean = [None] * 10 + [0.7, 0.77, 0.83, 0.9, 0.98]
    edges = [at / 15 for at in range(16)]
    data = {"convention": "equal-width bins (a,b]", "bins": 15, "n_conf_eq_1": 0, "edge": edges, "count": count}
    return Figure(key="calibration.reliability", data={**data, "confidence": mean, "accuracy": mean})


@pytest.fixture(scope="module")
def full_report(make_report) -> Report:
    """Every part that a page can have, with names that nobody should choose."""
    ok = {"version": 1, "status": "ok", "params": {}, "images_count": 900}
    picture = {"id": HOSTILE, "label": 1, "prediction": 2, "label_name": HOSTILE, "prediction_name": LONG}
    compared = Comparison(
        value=0.812, baseline=0.85, worse=0.038, unit="fraction", better="higher", n=900, interval=wilson(38, 900),
        interval_reason=None, detectable=0.02,
    )  # fmt: skip
    report = make_report(
        share("accuracy.top1", 812),
        share("accuracy.top5", 990),
        bare("calibration.ece", 0.062),
        bare("calibration.brier", 0.3),
        bare("robustness.pgd.asr", 0.4),
        share("robustness.pgd.robust_accuracy", 500),
        bare(f"future.{LONG}", 1.0),
        _per_class(),
        _battery(),
        _reliability(),
        Figure(
            key="mistakes.most_confident",
            data={"images": [{**picture, "confidence": 0.99, "jpeg": _picture()}], "n": 1},
        ),
        Notice(code="hostile", message=f"mind `{HOSTILE}` and {LONG}"),
        Skipped(key="accuracy.other", reason=HOSTILE),
        audits=[
            AuditEntry(id="accuracy", question="How often is it right?", skipped={"accuracy.x": HOSTILE}, **ok),
            AuditEntry(id="calibration", question="Does its confidence mean what it says?", **ok),
            AuditEntry(id="robustness", question="How often does a small change change its answer?", **ok),
            AuditEntry(id="masking", question="Is it robust?", **ok),
            AuditEntry(id="mistakes", question="Which mistakes is it surest of?", **ok),
            AuditEntry(id=HOSTILE, **{**ok, "status": "error"}, reason=LONG),
        ],
        baseline=BaselineSection(sha256="b" * 64, model=HOSTILE, weights_sha256="c" * 64, notes=[LONG]),
        comparisons={"accuracy.top1": compared},
    )
    waiver = WaiverEntry(until=date(2026, 12, 31), reason="it is mended in the next export")
    verdicts = [
        _verdict("fail"),
        _verdict("not measured", gate=f"{LONG} <= 1", metric="none", observed=None, bound=None),
        _verdict("waived", failed=False, waiver=waiver),
        _verdict("pass unproven"),
        _verdict("fail", level="warn", failed=False),
        _verdict("pass", gate="robustness.pgd.asr <= 0.5", metric="robustness.pgd.asr"),
        _verdict("doubtful", failed=False),
    ]
    model = report.model.model_copy(update={"ref": HOSTILE, "resolved": LONG})
    data = report.data.model_copy(update={"ref": HOSTILE})
    return report.with_verdicts(verdicts).model_copy(update={"model": model, "data": data})


@pytest.fixture(scope="module")
def write_page(tmp_path_factory) -> Callable[[Report], Path]:
    """Writes the page of a report to a file of its own."""

    def write(report: Report) -> Path:
        from repaudit.render.html import to_html

        path = tmp_path_factory.mktemp("page") / "report.html"
        path.write_text(to_html(report), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def full_page(write_page, full_report) -> Path:
    """The page of that report."""
    return write_page(full_report)
