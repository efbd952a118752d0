"""What `scan` and `demo` share: carry out an order, write, print, and return the exit status."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.cli._outputs import prepare
from repaudit.errors import InvalidReport, UnfinishedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from repaudit.cli._outputs import Outputs
    from repaudit.conductor import Scanned
    from repaudit.progress import Progress
    from repaudit.report import Report

GATE_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """Where a report goes and how much of it is shown."""

    outputs: tuple[str, ...]
    quiet: bool
    verbose: bool
    exit_zero: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A report as it was written, and where."""

    report: Report
    paths: tuple[Path, ...]


def run(work: Callable[[Progress], Scanned], presentation: Presentation) -> int:
    """Tries the outputs, does the work, writes and prints, and returns the exit status."""
    from repaudit.render.progress import progress_for

    outputs = prepare(presentation.outputs)
    # Stdout belongs to the report alone, whatever a user's own network prints.
    with (
        redirect_stdout(sys.stderr),
        progress_for(sys.stderr, quiet=presentation.quiet, verbose=presentation.verbose) as progress,
    ):
        scanned = work(progress)
    written = _write(scanned, outputs)
    _print(written, outputs.stdout, presentation)
    if scanned.failure is not None:
        raise scanned.failure
    status = written.report.run.exit_code
    return 0 if presentation.exit_zero and status == GATE_FAILED else status


def _write(scanned: Scanned, outputs: Outputs) -> Written:
    from repaudit.report import write

    report, paths = scanned.report, []
    for wanted in outputs.files:
        path = _beside_a_complete_one(wanted, report)
        try:
            report = write(scanned.report, path, columns=scanned.columns)
        except OSError as error:
            raise UnfinishedError(
                f"the report could not be written to `{path}`: {error.strerror}",
                detail="The clean pass is kept: the same command does not repeat it.",
                remedy="-o another/folder",
            ) from None
        paths.append(path)
    return Written(report, tuple(paths))


def _beside_a_complete_one(path: Path, report: Report) -> Path:
    """Where a report goes: one that is not complete never replaces one that is, or that cannot be read."""
    from repaudit.report import RunStatus, read

    if report.run.status is RunStatus.COMPLETE or not path.exists():
        return path
    with suppress(InvalidReport):
        if read(path).run.status is not RunStatus.COMPLETE:
            return path
    return path.with_name(f"{path.stem}.partial.json")


def _print(written: Written, as_json: bool, presentation: Presentation) -> None:
    from repaudit.render.terminal import console_for, print_report, print_summary

    report = written.report
    for path in written.paths:
        sys.stderr.write(f"report: {path}\n")
    if as_json:
        sys.stdout.write(report.model_copy(update={"per_image": None}).to_json())
        sys.stdout.flush()
    elif presentation.quiet:
        print_summary(report, console_for())
    else:
        print_report(report, console_for(), verbose=presentation.verbose)
