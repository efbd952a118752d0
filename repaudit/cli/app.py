"""The program: its commands, and what its exit status means.

0 finished, no gate failed · 1 finished, a gate failed · 2 the command must change, nothing was measured ·
3 started, could not finish · 130 / 143 interrupted, the same command continues.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, Never

import typer

from repaudit import __version__
from repaudit.cli.compare import compare
from repaudit.cli.demo import demo
from repaudit.cli.doctor import doctor
from repaudit.cli.gate import gate
from repaudit.cli.listing import listing
from repaudit.cli.report import report
from repaudit.cli.scan import scan
from repaudit.cli.train import train
from repaudit.errors import Interrupted, RepauditError, UnfinishedError, UsageError

if TYPE_CHECKING:
    from types import FrameType

CRASHED = 3
_COMPLETION = "_REPAUDIT_COMPLETE"
_COMPLETING = frozenset({"--install-completion", "--show-completion"})
_READING = frozenset({"compare", "doctor", "list", "report", "--help", "-h"})
"""What only prints: whoever closes the pipe has read enough. The others say how it went by their own status."""

app = typer.Typer(
    name="repaudit",
    help="Tells whether a pretrained image classifier can be trusted, why, and whether it may ship.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(short_help="See it work: digits, no network, no data set.")(demo)
app.command(short_help="Audit classifiers, report, judge gates.")(scan)
app.command(short_help="Judge a saved report again.")(gate)
app.command(short_help="Put saved reports side by side.")(compare)
app.command(short_help="Show or convert a saved report.")(report)
app.command(short_help="Train baselines and compare them.")(train)
app.command(name="list", short_help="What exists, and what a metric is.")(listing)
app.command(short_help="Versions, devices, caches and data found.")(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"repaudit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Takes what stands before the command."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit status.

    Python, Typer and Click answer 1 to an uncaught exception, which would read as a failed gate.
    """
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    previous = signal.signal(signal.SIGTERM, _raise_interrupted)
    try:
        return _status(arguments)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _status(arguments: list[str]) -> int:
    try:
        return int(app(args=arguments, prog_name="repaudit", standalone_mode=False) or 0)
    except typer.Exit as leave:
        return leave.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _complain(Interrupted(signal.SIGINT), Interrupted(signal.SIGINT).status)
    except Interrupted as stopped:
        return _complain(stopped, stopped.status)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = "repaudit" if context is None else context.command_path
        return _complain(UsageError(error.format_message(), remedy=f"{command} --help"), UsageError.exit_status)
    except RepauditError as error:
        if _verbose(arguments):
            traceback.print_exception(error)
        return _complain(error, error.exit_status)
    except (BrokenPipeError, SystemExit) as left:
        return _left(left, arguments)
    except Exception as crash:  # a crash must never read as a verdict
        return _crashed(crash, verbose=_verbose(arguments))


def _left(left: BrokenPipeError | SystemExit, arguments: list[str]) -> int:
    if _COMPLETION in os.environ or _COMPLETING.intersection(arguments):  # Typer leaves so when all is well
        return CRASHED if isinstance(left, SystemExit) and left.code else 0
    # Rich and Typer answer a closed pipe with SystemExit(1), which is a failed gate to whoever asks
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if arguments[0] in _READING else CRASHED


def _verbose(arguments: list[str]) -> bool:
    return "-v" in arguments or "--verbose" in arguments


def _complain(error: RepauditError, status: int) -> int:
    print(error.render(), file=sys.stderr)  # noqa: T201
    return status


def _crashed(crash: Exception, *, verbose: bool) -> int:
    if verbose:
        traceback.print_exception(crash)
    if isinstance(crash, ModuleNotFoundError) and not (crash.name or "repaudit").startswith("repaudit"):
        return _complain(_absent(crash), CRASHED)
    error = RepauditError(
        f"stopped by an unexpected {type(crash).__name__}: {crash}",
        detail="This is a defect of repaudit or of a library below it, not a verdict about the model.",
        remedy="the same command with -v, and `repaudit doctor` for the report",
    )
    return _complain(error, CRASHED)


def _absent(missing: ModuleNotFoundError) -> RepauditError:
    """Some commands run without most libraries; what needs one says which."""
    return UnfinishedError(
        f"the library `{missing.name}` is not installed, and this needs it",
        detail="Installed as a whole, repaudit brings all that it needs.",
        remedy=f"pip install {missing.name}",
    )


def _raise_interrupted(signal_number: int, _frame: FrameType | None) -> Never:
    raise Interrupted(signal_number)
