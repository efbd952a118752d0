"""What `scan` and `demo` share: carry out an order, write, print, and return the exit status."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.cli._outputs import prepare
from repaudit.errors import UnfinishedError

if TYPE_CHECKING:
    from collections.abc import Callable

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


def run(work: Callable[[Progress], Scanned], presentation: Presentation) -> int:
    """Tries the outputs, does the work, writes and prints, and returns the exit status."""
    from repaudit.render.progress import progress_for

    outputs = prepare(presentation.outputs)
    with progress_for(sys.stderr, quiet=presentation.quiet, verbose=presentation.verbose) as progress:
        scanned = work(progress)
    report = _write(scanned, outputs)
    _print(report, outputs, presentation)
    if scanned.failure is not None:
        raise scanned.failure
    status = report.run.exit_code
    return 0 if presentation.exit_zero and status == GATE_FAILED else status


def _write(scanned: Scanned, outputs: Outputs) -> Report:
    from repaudit.report import write

    report = scanned.report
    for path in outputs.files:
        try:
            report = write(scanned.report, path, columns=scanned.columns)
        except OSError as error:
            raise UnfinishedError(
                f"the report could not be written to `{path}`: {error.strerror}",
                detail="The clean pass is kept: the same command does not repeat it.",
                remedy="-o another/folder",
            ) from None
    return report


def _print(report: Report, outputs: Outputs, presentation: Presentation) -> None:
    from repaudit.render.terminal import console_for, print_report, print_summary

    for path in outputs.files:
        sys.stderr.write(f"report: {path}\n")
    if outputs.stdout:
        sys.stdout.write(report.model_copy(update={"per_image": None}).to_json())
        sys.stdout.flush()
    elif presentation.quiet:
        print_summary(report, console_for())
    else:
        print_report(report, console_for(), verbose=presentation.verbose)
