"""What is installed is what the checkout has."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir",
         str(folder), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("repaudit-*.whl")
    return built


def test_the_wheel_carries_every_source_file_and_all_that_is_shipped(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    tracked = {
        path.relative_to(ROOT).as_posix()
        for folder in ("repaudit", "profiles", "training")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected = {
        name if name.startswith("repaudit/") else f"repaudit/_shipped/{name}"
        for name in tracked
    }  # fmt: skip

    assert expected - packed == set()
    assert {name for name in packed if ".dist-info/" not in name} - expected == set()


def test_the_demo_weights_are_small_enough_to_ship(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}

    weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
    assert weights
    assert max(weights.values()) <= 100_000


def test_an_installed_wheel_finds_its_profiles_far_from_any_checkout(wheel, tmp_path):
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps",
         "--ignore-installed", str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    program = (
        "import repaudit, repaudit.shipped as shipped;"
        "print(repaudit.__file__); print(sorted(p.name for p in shipped.folder('profiles').glob('*.yaml')));"
        "print(sorted(p.name for p in shipped.folder('training').iterdir()))"
    )
    result = subprocess.run([python, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    where, profiles, training = result.stdout.splitlines()

    assert Path(where).is_relative_to(environment)
    assert profiles == str(sorted(path.name for path in (ROOT / "profiles").glob("*.yaml")))
    assert "digits_demo.py" in training
