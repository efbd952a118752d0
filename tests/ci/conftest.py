"""Stand-ins for what a CI server has: its shells, its caches, its registry. The program is the real one."""

import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from repaudit.report import read, read_per_image, write

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()

REPAUDIT = """
import os, shutil, sys
from pathlib import Path
from repaudit.cli.app import main

arguments = sys.argv[1:]
if arguments[0] == "scan":
    # It was measured once, by the very line; here its gates are judged and its files are written anew.
    model, data = os.environ["MODEL"], os.environ["DATA"]
    if arguments[1:4] != [model, "--data", data] or model == "missing":
        sys.exit(2)
    arguments = ["gate", os.environ["MEASURED"], *arguments[4:]]
    for place, word in enumerate(arguments):
        if arguments[place - 1] == "-o" and not Path(word).suffix:
            shutil.copytree(os.environ["MEASURED"], word, dirs_exist_ok=True)
            arguments[place] = f"{word}/report.json"
sys.exit(main(arguments))
"""
PIP = "import sys; sys.exit(0 if sys.argv[1] == 'install' else 9)"
CURL = """
import argparse, os, shutil, sys
from pathlib import Path

parser = argparse.ArgumentParser()
for flag in ("--fail", "--silent", "--show-error", "--location"):
    parser.add_argument(flag, action="store_true")
for option in ("--header", "--upload-file", "--output", "--write-out"):
    parser.add_argument(option)
parser.add_argument("url")
asked = parser.parse_args()
registry, url = Path(os.environ["REGISTRY"]), "https://gitlab.example/api/v4/projects/7/packages/generic/repaudit-main/0.0.1/"
if (registry / "down").exists():
    sys.exit(7)
assert asked.header == "JOB-TOKEN: token" and asked.url.startswith(url), asked
file = registry / asked.url.removeprefix(url)
if asked.upload_file:
    shutil.copy(asked.upload_file, file)
elif file.exists():
    shutil.copy(file, asked.output)
if asked.write_out:
    print(asked.write_out.replace("%{http_code}", "200" if file.exists() else "404"))
"""
DOCKER = """
import argparse, os, sys

parser = argparse.ArgumentParser()
parser.add_argument("verb", choices=["run"])
parser.add_argument("--rm", action="store_true")
parser.add_argument("--user")
parser.add_argument("--workdir")
parser.add_argument("--volume", action="append")
parser.add_argument("image", choices=["repaudit"])
parser.add_argument("command", nargs=argparse.REMAINDER)
asked = parser.parse_args()
assert asked.user == f"{os.getuid()}:{os.getgid()}", asked.user
mounted = {inside: outside for outside, _, inside in (each.rpartition(":") for each in asked.volume)}
assert os.path.isdir(mounted["/cache"])
os.chdir(mounted[asked.workdir])
os.execvp("repaudit", ["repaudit", *asked.command])
"""


@pytest.fixture(scope="session")
def recipes() -> dict[str, str]:
    """The code blocks of docs/ci.md by the file that each is."""
    return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))


@dataclass
class Workplace:
    """A checkout, and an environment in which every program of the recipes can be found."""

    folder: Path
    environment: dict[str, str]
    caches: dict[str, Path] = field(default_factory=dict)
    registry: Path = field(init=False)

    def __post_init__(self) -> None:
        self.registry = self.folder.parent / "registry"
        self.registry.mkdir()
        self.environment["REGISTRY"] = str(self.registry)

    def gates(self, *conditions: str) -> None:
        """Other gates in the checkout's profile."""
        lines = "".join(f"  - {condition}\n" for condition in conditions)
        (self.folder / "repaudit.yaml").write_text(f"audits: [accuracy, calibration]\ngates:\n{lines}")

    def bash(self, script: str, *flags: str, folder: Path | None = None, **changes: str) -> subprocess.CompletedProcess:
        """The script in a shell of the checkout."""
        return subprocess.run(
            ["bash", "--noprofile", "--norc", *flags, "-c", script],
            cwd=folder or self.folder, env=self.environment | changes, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def files(self, paths: str) -> set[str]:
        """The files at and below some paths of the checkout."""
        found = [path for name in paths.split() for path in [self.folder / name, *(self.folder / name).rglob("*")]]
        return {str(path.relative_to(self.folder)) for path in found if path.is_file()}


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    path = f"{folder}:{os.environ['PATH']}"
    chosen = {"MODEL": "embedded:digits-cnn", "DATA": "digits", "OMP_NUM_THREADS": "1"}
    return kept | {"PATH": path} | chosen | more


@pytest.fixture(scope="session")
def scan_line() -> str:
    """The line that most recipes scan by."""
    return 'repaudit scan "$MODEL" --data "$DATA" -o out -o out/junit.xml'


@pytest.fixture(scope="session")
def written() -> set[str]:
    """What that line leaves, figures aside."""
    return {f"out/{name}" for name in ("report.json", "per_image.npz", "report.html", "report.md", "junit.xml")}


@pytest.fixture(scope="session")
def measured(tmp_path_factory, recipes, scan_line) -> Path:
    """The folder that the recipes' own scan line writes, with the page's own `repaudit.yaml`."""
    folder = tmp_path_factory.mktemp("measured")
    program(folder, "repaudit", "import sys\nfrom repaudit.cli.app import main\nsys.exit(main())")
    (folder / "repaudit.yaml").write_text(recipes["repaudit.yaml"])
    done = subprocess.run(
        ["bash", "-c", scan_line], cwd=folder, env=environment(folder, REPAUDIT_CACHE=str(folder / "cache")),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def workplace(tmp_path, measured, recipes) -> Workplace:
    programs, checkout = tmp_path / "programs", tmp_path / "checkout"
    programs.mkdir()
    checkout.mkdir()
    for name, text in {"repaudit": REPAUDIT, "pip": PIP, "curl": CURL, "docker": DOCKER}.items():
        program(programs, name, text)
    (checkout / "repaudit.yaml").write_text(recipes["repaudit.yaml"])
    return Workplace(checkout, environment(programs, MEASURED=str(measured)))


@pytest.fixture
def better(tmp_path, measured) -> Path:
    """A report of the same images by a model that answers all of them right, of which any other is worse."""
    folder = tmp_path / "better"
    shutil.copytree(measured, folder)
    report = read(folder / "report.json")
    columns = read_per_image(report.per_image, folder / "report.json")
    columns["prediction"] = columns["label"].copy()
    columns["top5"] = np.ones_like(columns["top5"])
    write(report.model_copy(update={"per_image": None}), folder / "report.json", columns=columns)
    return folder
