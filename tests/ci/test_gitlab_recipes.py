"""The GitLab recipe of docs/ci.md, job by job."""

import ast
import re
import shutil
from dataclasses import dataclass

import yaml

MERGE = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_BRANCH": ""}
MAIN = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}
SERVER = {
    "CI_API_V4_URL": "https://gitlab.example/api/v4", "CI_PROJECT_ID": "7",
    "CI_DEFAULT_BRANCH": "main", "CI_JOB_TOKEN": "token",
}  # fmt: skip


@dataclass
class Job:
    """What became of a job."""

    status: int
    reports: set[str]
    log: str


def applies(rules: list[dict[str, str]], variables: dict[str, str]) -> dict[str, str] | None:
    for rule in rules:
        left, right = re.fullmatch(r"\$(\w+) == (.*)", rule["if"]).groups()
        if variables[left] == (ast.literal_eval(right) if right.startswith('"') else variables[right[1:]]):
            return rule
    return None


def gitlab(place, recipes, event: dict[str, str]) -> dict[str, Job]:
    """Runs a pipeline: each job in a checkout of its own, with the artifacts of the jobs that it needs."""
    document = yaml.safe_load(recipes[".gitlab-ci.yml"])
    known = SERVER | event
    assert applies(document["workflow"]["rules"], known)
    known["KEPT"] = re.sub(r"\$(\w+)", lambda found: known[found[1]], document["variables"]["KEPT"])
    jobs = {name: job for name, job in document.items() if isinstance(job, dict) and "script" in job}
    ended: dict[str, Job] = {}
    for name, job in jobs.items():
        rule = applies(job["rules"], known) if "rules" in job else {}
        needs = job.get("needs", [])
        if rule is None or (any(ended[need].status for need in needs) and rule.get("when") != "always"):
            continue
        folder = place.folder.parent / f"{name}-{len(list(place.folder.parent.iterdir()))}"
        shutil.copytree(place.folder, folder)
        for need in needs:
            for path in jobs[need]["artifacts"]["paths"]:
                if (place.folder.parent / need / path).exists():
                    shutil.copytree(place.folder.parent / need / path, folder / path)
        done = place.bash("\n".join(job["script"]), "-eo", "pipefail", folder=folder, **known)
        shutil.rmtree(place.folder.parent / name, ignore_errors=True)
        folder.rename(place.folder.parent / name)
        reports = job.get("artifacts", {}).get("reports", {}).values()
        found = {path for path in reports if (place.folder.parent / name / path).exists()}
        ended[name] = Job(done.returncode, found, done.stdout + done.stderr)
    return ended


def test_gitlab_keeps_mains_report_and_judges_a_merge_request_beside_it(workplace, recipes):
    main = gitlab(workplace, recipes, MAIN)
    merge = gitlab(workplace, recipes, MERGE)

    assert {name: job.status for name, job in main.items()} == {"audit": 0, "keep": 0}, main
    assert {name: job.status for name, job in merge.items()} == {"audit": 0, "beside-main": 0}, merge
    assert {path.name for path in workplace.registry.iterdir()} == {"report.json", "per_image.npz"}
    assert merge["audit"].reports == {"out/junit.xml"}
    assert merge["beside-main"].reports == {"beside.xml"}


def test_gitlab_has_its_junit_when_gates_fail_and_compares_all_the_same(workplace, recipes, better):
    for name in ("report.json", "per_image.npz"):
        shutil.copy(better / name, workplace.registry)
    workplace.gates("top1 >= 0.999")
    merge = gitlab(workplace, recipes, MERGE)

    assert {name: job.status for name, job in merge.items()} == {"audit": 1, "beside-main": 1}, merge
    assert (merge["audit"].reports, merge["beside-main"].reports) == ({"out/junit.xml"}, {"beside.xml"})


def test_gitlab_tells_a_baseline_that_is_not_there_yet_from_a_server_that_is_down(workplace, recipes):
    first = gitlab(workplace, recipes, MERGE)
    (workplace.registry / "down").touch()
    down = gitlab(workplace, recipes, MERGE)

    assert (first["beside-main"].status, down["beside-main"].status) == (0, 3)
    assert "main has no report yet" in first["beside-main"].log


def test_a_wrong_reference_is_no_verdict(workplace, recipes):
    workplace.environment["MODEL"] = "missing"

    assert gitlab(workplace, recipes, MERGE)["audit"].status == 2
