"""The names that a script uses."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["scan", "load_model", "load_data", "Report"])
def test_a_public_name_is_what_it_was_however_often_and_in_whatever_order_things_are_imported(name):
    program = (
        "import repaudit, repaudit.demo, repaudit.cli.app\n"
        f"first, second = repaudit.{name}, repaudit.{name}\n"
        f"from repaudit import {name} as third\n"
        "assert first is second is third and callable(first), (first, second, third)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_importing_repaudit_imports_nothing_heavy():
    program = (
        "import sys, repaudit\n"
        "heavy = {'torch', 'timm', 'numpy', 'sklearn', 'pydantic', 'rich', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert repaudit.__version__\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
