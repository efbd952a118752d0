"""What judges and prints saved reports must start at once: no heavy library may come along."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "sklearn", "matplotlib", "scipy.stats", "pandas")
LIGHT = (
    "repaudit",
    "repaudit.report",
    "repaudit.profiles",
    "repaudit.gates",
    "repaudit.heads",
    "repaudit.compare",
    "repaudit.published",
    "repaudit.leaderboard",
    "repaudit.judge",
    "repaudit.output",
    "repaudit.public",
    "repaudit.render.csv",
    "repaudit.render.github",
    "repaudit.render.html",
    "repaudit.render.junit",
    "repaudit.render.markdown",
    "repaudit.render.terminal",
    "repaudit.render.progress",
    "repaudit.render.figures",
)


def imported_by(code: str) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(found.stdout.split())


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_imports_no_heavy_library(module):
    assert imported_by(f"import {module}").isdisjoint(HEAVY)


def test_reading_judging_and_printing_a_report_imports_no_heavy_library(make_report, tmp_path):
    from repaudit.finding import Better, Measurement, Unit
    from repaudit.metrics.intervals import wilson
    from repaudit.report import write

    top1 = Measurement(
        key="accuracy.top1", value=0.75, unit=Unit.FRACTION, better=Better.HIGHER, n=1000, interval=wilson(750, 1000)
    )
    path = tmp_path / "report.json"
    write(make_report(top1), path)
    code = f"""
from pathlib import Path
from repaudit import gates, profiles, report
from repaudit.render.terminal import console_for, print_report
import sys
saved = report.read(Path({str(path)!r}))
profile = profiles.load("quick", audits=None, settings=["gates=[top1 >= 0.7 @95%]"], limit=None, directory=Path.cwd())
verdicts = gates.judge(saved, profile.gates)
assert str(verdicts[0].outcome) == "pass"
print_report(saved.with_verdicts(verdicts), console_for(sys.stderr))
"""

    assert imported_by(code).isdisjoint(HEAVY)
