"""The GitHub recipes of docs/ci.md, step by step as a runner takes them."""

import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
AUDIT, NIGHTLY, GATE = (f".github/workflows/{name}.yml" for name in ("audit", "nightly", "gate"))
PUSH = {"event_name": "push", "ref": "refs/heads/main", "sha": "aaa", "run_id": "1"}
PULL = {"event_name": "pull_request", "ref": "refs/pull/1/merge", "sha": "bbb", "run_id": "2"}
NIGHT = {"event_name": "schedule", "ref": "refs/heads/main", "sha": "aaa", "run_id": "3"}


@dataclass
class Job:
    """What became of a job."""

    status: int
    uploaded: set[str]
    summary: str
    log: str


def condition(text: str, github: dict[str, str], failed: bool) -> bool:
    """A step's `if`, with what Actions puts around it."""
    text = re.sub(r"^\$\{\{|\}\}$", "", text).strip()
    text = text if re.search(r"\b(always|cancelled|success|failure)\(\)", text) else f"success() && ({text})"
    text = text.replace("&&", " and ").replace("||", " or ").replace("!cancelled", "not cancelled")
    text = re.sub(r"\bgithub\.(\w+)", r"github['\1']", text)
    functions = {"always": lambda: True, "cancelled": lambda: False, "success": lambda: not failed}
    return bool(eval(text, {"github": github, **functions}))


def filled(value: str, github: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ github\.(\w+) \}\}", lambda found: github[found[1]], value)


def restore(place, inputs, github):
    keys = [filled(inputs["key"], github), *inputs.get("restore-keys", "").split()]
    found = [saved for key in keys for saved in reversed(place.caches) if saved.startswith(key)]
    if found:
        shutil.copytree(place.caches[found[0]], place.folder / inputs["path"])
    return bool(found) or not inputs.get("fail-on-cache-miss")


def save(place, inputs, github):
    kept = place.folder.parent / f"cache-{len(place.caches)}"
    shutil.copytree(place.folder / inputs["path"], kept)
    place.caches[filled(inputs["key"], github)] = kept
    return True


def actions(place, recipe: str, github: dict[str, str]) -> Job:
    """Runs the one job of a workflow in a fresh checkout, as a runner does."""
    document = yaml.safe_load(recipe)
    assert github["event_name"] in document[True]  # YAML 1.1 reads `on` as a truth value
    (job,) = document["jobs"].values()
    for left in set(place.folder.iterdir()) - {place.folder / "repaudit.yaml"}:
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    status, files, log, summary = 0, set(), "", place.folder.parent / "summary"
    summary.write_text("")
    inside = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    for step in job["steps"]:
        if not condition(step.get("if", "success()"), github, failed=status != 0):
            continue
        if "run" in step:
            done = place.bash(step["run"], "-e", **inside)
            status, log = status or done.returncode, log + done.stdout + done.stderr
            continue
        used, inputs = step["uses"].split("@")[0], step.get("with", {})
        if used == "actions/upload-artifact":
            files |= place.files(inputs["path"])
        elif used.startswith("actions/cache/"):
            done = {"restore": restore, "save": save}[used.rpartition("/")[2]](place, inputs, github)
            status = status or (0 if done else 1)
        else:
            assert used in {"actions/checkout", "actions/setup-python"}
    return Job(status, files, summary.read_text(), log)


def test_main_passes_and_is_kept_and_a_pull_request_is_judged_beside_it(workplace, recipes, written):
    main = actions(workplace, recipes[AUDIT], PUSH)
    pull = actions(workplace, recipes[AUDIT], PULL)

    assert (main.status, pull.status) == (0, 0), main.log + pull.log
    assert main.uploaded >= written
    assert pull.uploaded >= written | {"out/beside.xml"}
    assert "repaudit-main-aaa" in workplace.caches
    assert "worse(top1) &lt;= 0.005" in (workplace.folder / "out" / "beside.xml").read_text()
    assert main.summary.count("<!-- repaudit report -->") == 1
    assert pull.summary.count("<!-- repaudit report -->") == 2


def test_the_first_pull_request_has_nothing_to_be_compared_with(workplace, recipes):
    pull = actions(workplace, recipes[AUDIT], PULL)

    assert pull.status == 0, pull.log
    assert "out/beside.xml" not in pull.uploaded


def test_a_failed_gate_fails_the_job_is_annotated_and_leaves_its_report(workplace, recipes, written):
    actions(workplace, recipes[AUDIT], PUSH)
    workplace.gates("top1 >= 0.999")
    pull = actions(workplace, recipes[AUDIT], PULL)

    assert pull.status == 1
    assert pull.uploaded >= written | {"out/beside.xml"}
    assert "::error title=repaudit%3A FAIL%3A top1 >= 0.999::" in pull.log
    assert "## repaudit: FAIL" in pull.summary


def test_a_pull_request_that_is_worse_than_main_fails(workplace, recipes, better):
    workplace.caches["repaudit-main-aaa"] = better
    pull = actions(workplace, recipes[AUDIT], PULL)

    assert pull.status == 1
    assert "worse(top1)" in pull.log.split("::error")[1]


def test_a_failure_on_main_is_not_kept(workplace, recipes):
    workplace.gates("top1 >= 0.999")

    assert actions(workplace, recipes[AUDIT], PUSH).status == 1
    assert workplace.caches == {}


def test_a_wrong_reference_is_no_verdict(workplace, recipes):
    workplace.environment["MODEL"] = "missing"

    assert actions(workplace, recipes[AUDIT], PULL).status == 2


def test_a_night_without_a_verdict_is_kept_and_judged_by_each_pull_request(workplace, recipes):
    workplace.gates("top1 >= 0.999")
    night = actions(workplace, recipes[NIGHTLY], NIGHT)
    failing = actions(workplace, recipes[GATE], PULL)
    workplace.gates("top1 >= 0.75")
    passing = actions(workplace, recipes[GATE], PULL)

    assert (night.status, failing.status, passing.status) == (0, 1, 0), night.log + failing.log + passing.log
    assert {"nightly/report.json", "nightly/per_image.npz"} <= night.uploaded
    assert failing.uploaded == passing.uploaded == {"junit.xml", "summary.md"}


def test_without_a_night_no_pull_request_passes(workplace, recipes):
    assert actions(workplace, recipes[GATE], PULL).status != 0


def gate_without(place, measured, missing: set[str], *outputs: str) -> tuple[list[str], subprocess.CompletedProcess]:
    """The blocked modules of packages that are missing, and the gate as it ends without them."""
    blocked = sorted(name for name, owners in packages_distributions().items() if {o.lower() for o in owners} & missing)
    wanted = [word for output in outputs for word in ("-o", output)]
    code = f"""
import sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Nowhere())
from repaudit.cli.app import main
sys.exit(main(["gate", {str(measured)!r}, "--baseline", {str(measured)!r}, *{wanted},
               "--set", "gates=[top1 >= 0.7, worse(ece) <= 0.1 @95%]"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=place.folder, capture_output=True, text=True, check=False)
    return blocked, done


def dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.match(r"[\w-]+", each)[0].lower() for each in project["dependencies"]}


def installed(recipes) -> set[str]:
    (line,) = re.findall(r"--no-deps repaudit && pip install (.*)", recipes[GATE])
    return set(line.split())


def test_the_packages_that_the_gate_installs_are_all_that_it_needs(workplace, recipes, measured):
    missing = dependencies() - installed(recipes)
    blocked, done = gate_without(workplace, measured, missing, "junit.xml", "summary.md", "metrics.csv", "judged.json")

    assert {"torch", "torchvision", "timm", "sklearn", "PIL"} <= set(blocked)
    assert done.returncode == 0, done.stderr
    assert (workplace.folder / "junit.xml").exists()


def test_pages_and_folders_need_the_packages_that_the_page_names_beyond_those(workplace, recipes, measured):
    (told,) = re.findall(r"a page .*? needs (.*?) too", (ROOT / "docs" / "ci.md").read_text().replace("\n", " "))
    named = set(re.findall(r"`([\w-]+)`", told))
    brought = {"pillow"}  # by matplotlib
    _, done = gate_without(
        workplace, measured, dependencies() - installed(recipes) - named - brought, "page.html", "folder"
    )

    assert done.returncode == 0, done.stderr
    assert workplace.files("page.html folder") >= {"page.html", "folder/report.html"}
    for name in named:
        blocked, done = gate_without(workplace, measured, {name}, "again.html")
        assert (done.returncode, blocked[0] in done.stderr) == (3, True), done.stderr
