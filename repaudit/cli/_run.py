"""What `scan`, `demo`, `gate` and `report` share: carry out, write, print, and return the exit status."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.errors import UnfinishedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from repaudit.conductor import Scanned
    from repaudit.output import Saved
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
    announced: bool = False
    """Tells the CI server that it runs in, where that is GitHub Actions."""

    def status(self, report: Report) -> int:
        """The exit status of a report: `--exit-zero` turns 1 into 0 and nothing else."""
        status = report.run.exit_code
        return 0 if self.exit_zero and status == GATE_FAILED else status


def run(work: Callable[[Progress], Scanned], presentation: Presentation) -> int:
    """Tries the outputs, does the work, writes and prints, and returns the exit status."""
    from repaudit.output import prepare, save
    from repaudit.render.progress import progress_for

    outputs = prepare(presentation.outputs)
    # Stdout belongs to the report alone, whatever a user's own network prints.
    with (
        redirect_stdout(sys.stderr),
        progress_for(sys.stderr, quiet=presentation.quiet, verbose=presentation.verbose) as progress,
    ):
        scanned = work(progress)
    saved = save(scanned.report, scanned.columns, outputs)
    present(saved, presentation, as_json=outputs.stdout)
    if scanned.failure is not None:
        raise scanned.failure
    return presentation.status(saved.report)


def present(saved: Saved, presentation: Presentation, *, as_json: bool) -> None:
    """Prints a report on stdout, and on stderr where its files lie."""
    from repaudit.render.github import announce
    from repaudit.render.terminal import console_for, print_report, print_summary

    report = saved.report
    if presentation.announced:
        announce(report, os.environ, sys.stderr)
    for path in saved.paths:
        sys.stderr.write(f"report: {path}\n")
    with to_whoever_reads():
        if as_json:
            sys.stdout.write(report.model_copy(update={"per_image": None}).to_json())
        elif presentation.quiet:
            print_summary(report, console_for())
        else:
            print_report(report, console_for(), verbose=presentation.verbose)


@contextmanager
def to_whoever_reads() -> Iterator[None]:
    """Prints on stdout; a pipe that is closed early changes no verdict.

    Raises:
        UnfinishedError: stdout cannot take it, a full disk for instance.
    """
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as left:  # rich answers a closed pipe with SystemExit(1)
        if isinstance(left, SystemExit) and left.code != 1:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise UnfinishedError(
            f"the report could not be printed: {error.strerror}", remedy="-o FILE.json, or another stdout"
        ) from None
