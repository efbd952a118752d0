"""`repaudit train`: baselines trained alike, each audited, and what tells them apart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repaudit.cli import completing
from repaudit.errors import InvalidRecipe, UnfinishedError, UsageError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from repaudit.progress import Progress
    from repaudit.train.matrix import Plan
    from repaudit.train.reading import LoadedRecipe
    from repaudit.train.runs import Run

GATE_FAILED = 1


def train(
    reg: Annotated[
        str | None,
        typer.Option(
            "--reg",
            metavar="LIST",
            help="Ways to make labels soft: onehot, ls, mixup, cutmix, vs, or joined as mixup+vs.",
            envvar="REPAUDIT_REG",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="NAME|FILE",
            help="What is trained and how. Default: digits.",
            show_default=False,
            autocompletion=completing.recipes,
            envvar="REPAUDIT_RECIPE",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="REF", help="Images to train on.", envvar="REPAUDIT_DATA"),
    ] = None,
    test_data: Annotated[
        str | None,
        typer.Option(
            "--test-data",
            metavar="REF",
            help="Images to audit on. Default: the data's own test set, else a fifth of it that is kept back.",
            show_default=False,
            envvar="REPAUDIT_TEST_DATA",
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="The network: a timm name, torchvision:NAME, baseline:NAME or py:FILE.py:factory.",
            envvar="REPAUDIT_ARCH",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="CHECKPOINT", help="Weights to begin with instead of random ones.", envvar="REPAUDIT_FROM"
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", metavar="N", help="Runs of each method.", envvar="REPAUDIT_SEEDS")
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option(
            "--alpha",
            metavar="A[,A…]",
            help="Mass of label smoothing and virtual smoothing; several are "
            "chosen from on images kept back from training.",
            envvar="REPAUDIT_ALPHA",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", help="Of each run.", envvar="REPAUDIT_EPOCHS")
    ] = None,
    bottleneck: Annotated[
        int | None,
        typer.Option(
            "--bottleneck",
            metavar="2|3",
            help="Width of a linear layer before the head, to draw features.",
            envvar="REPAUDIT_BOTTLENECK",
        ),
    ] = None,
    snapshots: Annotated[
        bool,
        typer.Option(
            "--snapshots",
            help="With --bottleneck 2: keep the plane of the features after every epoch, to draw it over training.",
            envvar="REPAUDIT_SNAPSHOTS",
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One key of the recipe, such as optimizer.rate=0.05."),
    ] = None,
    jobs: Annotated[
        str,
        typer.Option(
            "--jobs", metavar="N|auto", help="Processes. auto: one for each GPU, or each core.", envvar="REPAUDIT_JOBS"
        ),
    ] = "auto",
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard", metavar="i/n", help="Only every n-th run, on one of several machines.", envvar="REPAUDIT_SHARD"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where runs and tables go. Default: repaudit-train/RECIPE.",
            show_default=False,
            envvar="REPAUDIT_OUTPUT",
        ),
    ] = None,
    no_scan: Annotated[bool, typer.Option("--no-scan", help="Train only.", envvar="REPAUDIT_NO_SCAN")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print the runs and leave.")] = False,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps.", envvar="REPAUDIT_DEVICE")
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the table.")] = False,
) -> None:
    """Train baselines that differ in nothing but their labels, audit each, and compare them."""
    from repaudit.train.reading import load

    given: dict[str, JsonValue] = {
        "reg": None if reg is None else [name.strip() for name in reg.split(",") if name.strip()],
        "data.train": data,
        "data.test": test_data,
        "network.arch": arch,
        "network.start": start,
        "seeds": seeds,
        "epochs": epochs,
        "network.bottleneck": bottleneck,
        "snapshots": 1 if snapshots else None,
        **_masses(alpha),
    }
    loaded = load(
        recipe, settings=settings or (), given={key: value for key, value in given.items() if value is not None}
    )
    folder = output or Path("repaudit-train") / loaded.name.removesuffix(".yaml")
    raise typer.Exit(_carry_out(loaded, folder, jobs, shard, device, scanned=not no_scan, quiet=quiet, only_plan=plan))


def _masses(text: str | None) -> dict[str, JsonValue]:
    """One mass for both methods, or a grid."""
    if text is None:
        return {}
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidRecipe(f"--alpha {text}: not a number or a list of numbers", remedy="--alpha 0.1,0.3") from None
    outside = [value for value in values if not 0 <= value < 1]
    if outside:
        raise InvalidRecipe(
            f"--alpha {outside[0]:g} lies outside [0, 1)",
            detail="it is the share of a label that is taken from its class; with all of it nothing is left to learn",
            remedy="--alpha 0.1",
        )
    if len(values) > 1:
        return {"alphas": list(values)}
    return {"ls.alpha": values[0], "vs.alpha": values[0]}


def _carry_out(
    loaded: LoadedRecipe,
    folder: Path,
    jobs: str,
    shard: str | None,
    device: str,
    *,
    scanned: bool,
    quiet: bool,
    only_plan: bool,
) -> int:
    from repaudit.train.runs import runs_of
    from repaudit.train.runs import shard as sharded

    if jobs != "auto" and not (jobs.isdecimal() and int(jobs) > 0):
        raise UsageError(f"--jobs {jobs}: not a number of processes", remedy="--jobs auto")
    runs = sharded(runs_of(loaded.recipe), shard)
    if only_plan:
        for run in runs:
            typer.echo(f"{folder / run.name}")
        return 0
    from repaudit.cli._training import tracked
    from repaudit.train.distributed import is_first
    from repaudit.train.matrix import carry_out

    quiet = quiet or not is_first()
    plan, progress = _planned(loaded, runs, folder, jobs, device, scanned=scanned, quiet=quiet)
    with tracked(sys.stderr, [run.name for run in runs], loaded.recipe.epochs, quiet=quiet) as (tracker, hear):
        carry_out(plan, progress, hear)
    if is_first():
        _compare(loaded, folder)
    if tracker.failures:
        names = ", ".join(tracker.failures)
        raise UnfinishedError(
            f"{len(tracker.failures)} of {len(runs)} runs could not finish: {names}",
            detail="\n".join(tracker.failures.values()),
            remedy="the same command again; what is finished is not made again",
        )
    return 0


def _planned(
    loaded: LoadedRecipe,
    runs: tuple[Run, ...],
    folder: Path,
    jobs: str,
    device: str,
    *,
    scanned: bool,
    quiet: bool,
) -> tuple[Plan, Progress]:
    """Where everything runs, once the profile of the scans is known to be one."""
    from repaudit.device import choose_device
    from repaudit.profiles import load as load_profile
    from repaudit.render.progress import progress_for
    from repaudit.train.distributed import own_device, processes
    from repaudit.train.matrix import Plan, devices_of, dtype_of

    scan = loaded.recipe.scan
    load_profile(scan.profile, audits=None, settings=list(scan.settings), limit=None, directory=Path.cwd())
    place, shared = own_device(choose_device(device)), processes() > 1
    with progress_for(sys.stderr, quiet=quiet, verbose=False) as progress:
        devices = devices_of(place, "1" if shared else jobs, runs, progress)
        progress.note(f"recipe {loaded.name}: {len(runs)} runs, {len(devices)} at a time on {place.type}, in {folder}")
    plan = Plan(
        recipe_name=loaded.name,
        recipe=loaded.recipe,
        runs=runs,
        folder=folder,
        devices=devices,
        threads=1 if len(devices) > 1 or shared else 0,
        dtype=dtype_of(loaded.recipe, place),
        scanned=scanned,
        argv=tuple(sys.argv[1:]),
    )
    return plan, progress


def _compare(loaded: LoadedRecipe, folder: Path) -> None:
    """Writes and prints what all finished runs of the matrix show, those of other shards included."""
    from repaudit.cli._matrix_table import print_table
    from repaudit.cli._run import to_whoever_reads
    from repaudit.render.terminal import console_for
    from repaudit.report import replace_file
    from repaudit.train.folder import results
    from repaudit.train.runs import runs_of
    from repaudit.train.table import table_of

    found = results(folder, runs_of(loaded.recipe))
    if not found:
        return
    table = table_of(loaded.name, found)
    for name, text in (("table.json", table.to_json()), ("table.csv", table.to_csv())):
        try:
            replace_file(folder / name, text.encode())
        except OSError as error:
            raise UnfinishedError(
                f"{folder / name} could not be written: {error.strerror}", remedy="the same command again"
            ) from None
        sys.stderr.write(f"table: {folder / name}\n")
    with to_whoever_reads():
        print_table(table, console_for())
