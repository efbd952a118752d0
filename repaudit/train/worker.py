"""One process of a matrix: trains runs one after the other and audits each."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from repaudit import __version__
from repaudit.conductor import Order, carry_out
from repaudit.errors import RepauditError
from repaudit.output import prepare, save
from repaudit.profiles import load as load_profile
from repaudit.progress import SilentProgress
from repaudit.report import RunStatus, read
from repaudit.train import checkpoint, journal
from repaudit.train.events import Advanced, Audited, Began, Failed, Paused, Trained
from repaudit.train.export import export
from repaudit.train.folder import MODEL, REPORT, is_trained
from repaudit.train.loop import Conditions, Stopped, train
from repaudit.train.readiness import labelling_of
from repaudit.train.teacher import load_teacher

if TYPE_CHECKING:
    from collections.abc import Callable

    from repaudit.profiles import ResolvedProfile
    from repaudit.report import Report
    from repaudit.train.distributed import Ranks
    from repaudit.train.events import Event
    from repaudit.train.examples import Material
    from repaudit.train.runs import Run

PLANE = "plane"
"""The audit that draws what a bottleneck is put there for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Where a process works and what it is asked for beside training."""

    folder: Path
    """Of the matrix; each run has one in it."""
    device: torch.device
    dtype: torch.dtype
    recipe_name: str
    scan_data: str
    """Reference of the test images."""
    scanned: bool
    argv: tuple[str, ...]


def work(
    run: Run,
    material: Material,
    post: Post,
    ranks: Ranks,
    *,
    tell: Callable[[Event], None],
    stopped: Callable[[], bool],
) -> None:
    """Trains, exports and audits one run; what goes wrong is told, not raised."""
    place = post.folder / run.name
    try:
        earlier = is_trained(place)
        if not earlier:
            _train(run, material, post, ranks, tell, stopped)
        if not ranks.first:
            return
        tell(Trained(run.name, journal.final(place)[0].accuracy, earlier))
        if post.scanned and not stopped():
            tell(Audited(run.name, _audit(run, place, post)))
    except Stopped:
        tell(Paused(run.name))
    except RepauditError as error:
        tell(Failed(run.name, error.render()))
    except Exception as crash:  # one run's crash must not cost the others
        tell(Failed(run.name, f"stopped by an unexpected {type(crash).__name__}: {crash}"))


def _train(
    run: Run,
    material: Material,
    post: Post,
    ranks: Ranks,
    tell: Callable[[Event], None],
    stopped: Callable[[], bool],
) -> None:
    place = post.folder / run.name
    tell(Began(run.name, journal.count(place)))
    conditions = Conditions(
        folder=place,
        device=post.device,
        dtype=post.dtype,
        ranks=ranks,
        told=lambda epoch: tell(Advanced(run.name, epoch)),
        stopped=stopped,
        load=lambda reference: load_teacher(reference, post.device),
    )
    built = train(run, material, conditions)
    if ranks.first:
        export(built, place, _facts(run, material, post, ranks))
        (place / checkpoint.FILE).unlink(missing_ok=True)


def _facts(run: Run, material: Material, post: Post, ranks: Ranks) -> dict[str, object]:
    """How it was trained; the same for the same weights."""
    labelling = labelling_of(run, material.classes)
    return {
        "recipe": post.recipe_name,
        "recipe_sha256": run.recipe.sha256,
        "settings": run.decisive,
        "alpha": run.mass,
        "virtual": labelling.virtual,
        "rejects": labelling.rejects,
        "seed": run.seed,
        "data_sha256": material.train_fingerprint,
        "extra_data_sha256": material.extra_fingerprint,
        "processes": ranks.world,
        "dtype": str(post.dtype).removeprefix("torch."),
        "versions": {"repaudit": __version__, "torch": str(torch.__version__)},
        "git": _git(),
    }


def _audit(run: Run, place: Path, post: Post) -> int:
    """Scans the exported checkpoint as anybody would, unless that was done; returns the report's exit status."""
    profile, before = _profile(run), _scanned(run, place)
    if before is not None:
        return before.run.exit_code
    order = Order(
        model=str(place / MODEL),
        data=post.scan_data,
        profile=profile,
        device=str(post.device),
        offline=True,
        argv=post.argv,
    )
    scanned = carry_out(order, SilentProgress())
    save(scanned.report, scanned.columns, prepare([str(place / REPORT)]))
    if scanned.failure is not None:
        raise scanned.failure
    return scanned.report.run.exit_code


def is_finished(run: Run, post: Post) -> bool:
    """Whether nothing is left to do but to say so."""
    place = post.folder / run.name
    return is_trained(place) and not (post.scanned and _scanned(run, place) is None)


def _profile(run: Run) -> ResolvedProfile:
    """The recipe's; with a bottleneck also the drawing of what it was put there for."""
    section, here = run.recipe.scan, Path.cwd()

    def loaded(audits: list[str] | None) -> ResolvedProfile:
        return load_profile(section.profile, audits=audits, settings=list(section.settings), limit=None, directory=here)

    profile = loaded(None)
    if run.recipe.network.bottleneck is None or PLANE in profile.audits:
        return profile
    return loaded([*profile.audits, PLANE])


def _scanned(run: Run, place: Path) -> Report | None:
    """The whole report that an earlier call made with the same profile; None where there is none."""
    path = place / REPORT
    if not path.exists():
        return None
    before = read(path)
    same = before.profile.sha256 == _profile(run).sha256 and before.run.status is RunStatus.COMPLETE
    return before if same else None


def _git() -> str | None:
    """Commit of the working directory, with a `+` where files differ from it; None where there is none."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=5)
        state = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + ("+" if state.stdout.strip() else "")
