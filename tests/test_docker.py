"""The image cannot be built everywhere, but what its file says can be checked."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def values(instructions, name):
    return [value for keyword, value in instructions if keyword == name]


def test_every_copied_path_exists(instructions):
    sources = [source for value in values(instructions, "COPY") for source in shlex.split(value)[:-1]]

    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_everything_that_the_wheel_is_built_from_is_copied(instructions):
    import tomllib

    copied = {source for value in values(instructions, "COPY") for source in shlex.split(value)[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"],
    }

    assert needed <= copied


def test_its_install_command_resolves_without_downloading(instructions):
    installs = [value for value in values(instructions, "RUN") if value.startswith("pip install")]
    assert len(installs) == 1
    command = shlex.split(installs[0])

    result = subprocess.run(
        [sys.executable, "-m", *command, "--dry-run", "--no-deps", "--no-build-isolation", "--quiet"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr


def test_it_does_not_run_as_root_and_owns_its_output_folder(instructions):
    order = [keyword for keyword, _ in instructions]
    (user,) = values(instructions, "USER")

    assert user not in {"root", "0"}
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert any(f"chown {user} " in value and "/out" in value for value in values(instructions, "RUN"))


def test_its_entry_point_is_the_program(instructions):
    assert values(instructions, "ENTRYPOINT") == ['["repaudit"]']
    assert {"/data", "/out"} <= set(eval(values(instructions, "VOLUME")[0]))


def test_the_host_gives_it_its_gpus(instructions):
    environment = " ".join(values(instructions, "ENV"))

    assert "NVIDIA_VISIBLE_DEVICES=all" in environment
    assert "compute" in environment.split("NVIDIA_DRIVER_CAPABILITIES=")[1].split()[0]
