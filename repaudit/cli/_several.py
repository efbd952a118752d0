"""Several models in one `scan`: one report each, a comparison, and the rest goes on where one fails."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.errors import Interrupted, InvalidOutput, InvalidProfile, RepauditError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from repaudit.cli._run import Presentation
    from repaudit.conductor import Order, Scanned
    from repaudit.leaderboard import Entrant
    from repaudit.output import Outputs, Target
    from repaudit.progress import Progress

NOTHING_MEASURED, UNFINISHED, GATE_FAILED, PASSED = 2, 3, 1, 0
LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything goes."""

    reports: tuple[Outputs, ...]
    """Of each model, in the order of the models."""
    comparison: tuple[Target, ...]
    stdout: bool
    """The comparison as JSON, and nothing else."""


@dataclass(slots=True)
class _Tally:
    """What came of each model."""

    entrants: list[Entrant]
    statuses: list[int]
    failures: list[tuple[str, Exception]]
    stopped: KeyboardInterrupt | Interrupted | None = None

    def status(self, *, exit_zero: bool) -> int:
        """3 before 1 before 0; 2 only where nothing at all was measured."""
        if not self.entrants:
            refused = all(isinstance(error, UsageError) for _, error in self.failures)
            return NOTHING_MEASURED if refused else UNFINISHED
        worst = UNFINISHED if self.failures else PASSED
        for status in self.statuses:
            worst = UNFINISHED if UNFINISHED in (worst, status) else max(worst, status)
        return PASSED if exit_zero and worst == GATE_FAILED else worst


def run_several(orders: Sequence[Order], presentation: Presentation) -> int:
    """Scans one model after the other, writes each report at once, compares them, and returns the exit status.

    Raises:
        UsageError: nothing was measured, for a reason that every model shares.
        Interrupted: somebody stopped it; what was finished is written and compared.
    """
    from repaudit.render.progress import progress_for

    places = places_for(presentation.outputs, [order.model for order in orders])
    tally = _Tally([], [], [])
    with (
        redirect_stdout(sys.stderr),
        progress_for(sys.stderr, quiet=presentation.quiet, verbose=presentation.verbose) as progress,
    ):
        for number, (order, outputs) in enumerate(zip(orders, places.reports, strict=True), start=1):
            progress.note(f"model {number} of {len(orders)}: {order.model}")
            _one(order, outputs, tally, progress)
            if tally.stopped is not None:
                break
    _show(tally, places, presentation)
    if tally.stopped is not None:
        raise tally.stopped
    return tally.status(exit_zero=presentation.exit_zero)


def places_for(wanted: Sequence[str], models: Sequence[str]) -> Places:
    """A folder gets a folder for each model and the comparison; a file gets the comparison.

    Raises:
        InvalidOutput: as of `prepare`, before anything is measured.
    """
    from repaudit.output import Outputs, prepare
    from repaudit.output.comparison import prepare_comparison
    from repaudit.output.destination import is_folder

    files = [each for each in wanted if each == "-" or not is_folder(each)]
    folders = [Path(each) for each in wanted if is_folder(each)]
    for folder in folders:
        if folder.parent.is_dir() and not folder.exists():
            folder.mkdir()
        files += [str(folder / f"comparison{suffix}") for suffix in (".json", ".html", ".md", ".csv")]
    if junit := [each for each in files if each.endswith(".xml")]:
        raise InvalidOutput(
            f"`{junit[0]}`: a comparison of several models has no JUnit form",
            remedy="-o DIR, then: repaudit report DIR/MODEL -o junit.xml",
        )
    compared = prepare_comparison(files)
    names = folder_names(models)
    reports = tuple(
        prepare([f"{folder / name}/" for folder in folders]) if folders else Outputs((), (), stdout=False)
        for name in names
    )
    return Places(reports, compared.files, compared.stdout)


def folder_names(models: Sequence[str]) -> list[str]:
    """A folder's name for each model: what a file system takes of its reference, numbered where two are the same."""
    names: list[str] = []
    for model in models:
        plain = re.sub(r"[^\w.=-]+", "-", model, flags=re.ASCII).strip("-.")[-LONGEST_NAME:] or "model"
        name, number = plain, 1
        while name.lower() in {other.lower() for other in names}:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def _one(order: Order, outputs: Outputs, tally: _Tally, progress: Progress) -> None:
    """Scans and writes one model; a failure is kept and told, unless it is everybody's."""
    from repaudit.conductor import carry_out
    from repaudit.leaderboard import Entrant
    from repaudit.output import save

    if order.adversarials is not None and outputs.folders:
        order = replace(order, adversarials=outputs.folders[0] / order.adversarials.name)
    try:
        scanned: Scanned = carry_out(order, progress)
        saved = save(scanned.report, scanned.columns, outputs)
    except (KeyboardInterrupt, Interrupted) as stopped:
        tally.stopped = stopped
    except InvalidProfile as error:
        if not tally.entrants and not tally.failures:  # the profile is everybody's
            raise
        _failed(order.model, error, outputs, tally, progress)
    except Exception as error:  # one model's crash must not cost the others their reports
        _failed(order.model, error, outputs, tally, progress)
    else:
        for path in saved.paths:
            progress.note(f"report: {path}")
        kept = next((path for path in saved.paths if path.suffix == ".json"), None)
        digest = "" if kept is None else hashlib.sha256(kept.read_bytes()).hexdigest()
        file = order.model if kept is None else str(kept)
        tally.entrants.append(Entrant(report=saved.report, columns=scanned.columns, file=file, sha256=digest))
        tally.statuses.append(saved.report.run.exit_code)
        tally.stopped = scanned.failure


def _failed(model: str, error: Exception, outputs: Outputs, tally: _Tally, progress: Progress) -> None:
    for folder in outputs.folders:
        with suppress(OSError):
            folder.rmdir()  # made beforehand; it goes only if nothing lies in it
    tally.failures.append((model, error))
    progress.failure(model, error)


def _show(tally: _Tally, places: Places, presentation: Presentation) -> None:
    from rich.text import Text

    from repaudit.cli._run import to_whoever_reads
    from repaudit.render.github import announce, announce_failure
    from repaudit.render.plain import safe
    from repaudit.render.terminal import console_for, print_report, print_summary

    console = console_for()
    for entrant in tally.entrants if presentation.announced else []:
        announce(entrant.report, os.environ, sys.stderr)
    for model, error in tally.failures:
        told = error.render() if isinstance(error, RepauditError) else f"{type(error).__name__}: {error}"
        sys.stderr.write(f"not measured: {safe(model)}\n{told}\n")
        if presentation.announced:
            announce_failure(model, told, os.environ, sys.stderr)
    with to_whoever_reads():
        for entrant in [] if places.stdout else tally.entrants:
            if presentation.verbose:
                print_report(entrant.report, console, verbose=True)
            else:
                console.print(Text(safe(entrant.report.model.resolved), style="bold"), soft_wrap=True)
                print_summary(entrant.report, console)
            if not presentation.quiet:
                console.print()
        _compare(tally, places, console, quiet=presentation.quiet)


def _compare(tally: _Tally, places: Places, console: Console, *, quiet: bool) -> None:
    """Beside the first that was measured; of one alone there is no comparison."""
    from repaudit.leaderboard import board_of
    from repaudit.output.comparison import save_comparison
    from repaudit.render.leaderboard.terminal import print_leaderboard
    from repaudit.render.plain import safe

    if len(tally.entrants) < 2:
        sys.stderr.write("nothing to compare: fewer than two models were measured\n")
        return
    board = board_of(tally.entrants, allow_different_data=True)
    absent = [f"{safe(model)} was asked for and not measured: {_why(error)}" for model, error in tally.failures]
    board = board.model_copy(update={"notes": [*absent, *board.notes]})
    for path in save_comparison(board, places.comparison):
        sys.stderr.write(f"comparison: {path}\n")
    if places.stdout:
        sys.stdout.write(board.to_json())
    elif not quiet:
        print_leaderboard(board, console)


def _why(error: Exception) -> str:
    from repaudit.render.plain import safe

    return safe(error.problem if isinstance(error, RepauditError) else f"{type(error).__name__}: {error}", 300)
