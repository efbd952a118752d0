"""Flags as the command line documents them."""

from typer.main import get_command

from repaudit.cli.app import app


def options(command):
    parameters = get_command(app).commands[command].params
    return [parameter for parameter in parameters if any(name.startswith("--") for name in parameter.opts)]


def test_every_flag_of_scan_is_also_an_environment_variable_of_the_same_name():
    named = {max(option.opts, key=len): option.envvar for option in options("scan") if "--help" not in option.opts}

    assert len(named) > 15
    assert named == {flag: f"REPAUDIT_{flag.removeprefix('--').replace('-', '_').upper()}" for flag in named}


def test_every_flag_of_every_command_says_what_it_does():
    silent = [
        (command, option.opts)
        for command in get_command(app).commands
        for option in options(command)
        if not getattr(option, "help", None)
    ]

    assert silent == []
