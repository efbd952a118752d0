"""`repaudit scan`: audit, report, judge."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from repaudit.cli import completing
from repaudit.errors import UsageError

Files = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE|DIR|-",
        help="Where the report goes, repeatable: FILE.json, .html, .md, .csv, .xml (JUnit), "
        "DIR for all of them with figures, or - for JSON on stdout.",
        envvar="REPAUDIT_OUTPUT",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only the verdict line.", envvar="REPAUDIT_QUIET")]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Every metric; a traceback with a crash.", envvar="REPAUDIT_VERBOSE"),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "-p",
        "--profile",
        metavar="NAME|FILE",
        autocompletion=completing.profiles,
        help="Which audits and gates: quick, standard, full, paper, ci or a YAML file. "
        "Default: repaudit.yaml or [tool.repaudit] nearby, else quick.",
        envvar="REPAUDIT_PROFILE",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A profile key (robustness.limit=100), an architecture argument (model.pad_type=same), or which of "
        "several outputs of a file holds the logits (model.output=NAME); repeatable.",
        envvar="REPAUDIT_SET",
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        "-b",
        "--baseline",
        metavar="REPORT",
        help="An earlier report with its per_image.npz, or its folder: what worse(METRIC) in a gate compares with.",
        envvar="REPAUDIT_BASELINE",
    ),
]
ExitZero = Annotated[
    bool,
    typer.Option("--exit-zero", help="Turn exit status 1 into 0; never 2 or 3.", envvar="REPAUDIT_EXIT_ZERO"),
]


def scan(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL…",
            help="A timm name, torchvision:NAME/WEIGHTS, hf-hub:…, local-dir:…, a checkpoint file with --arch, "
            "an .onnx file, a .pt2 or TorchScript program, py:FILE.py:factory, embedded:digits-cnn. "
            "Several give one report each and a comparison.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "-d",
            "--data",
            metavar="REF",
            help="imagenet-val[:DIR], imagefolder:DIR, imagenet-flat:DIR, csv:FILE, npz:FILE, cifar10:DIR, "
            "cifar100:DIR, digits, or a folder or file whose layout is recognised.",
            envvar="REPAUDIT_DATA",
        ),
    ] = None,
    profile: Profile = None,
    audits: Annotated[
        str | None,
        typer.Option(
            "-a",
            "--audits",
            metavar="A,B",
            autocompletion=completing.audits,
            help="These audits only, with the profile's parameters.",
            envvar="REPAUDIT_AUDITS",
        ),
    ] = None,
    settings: Settings = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "-n", "--limit", min=1, help="At most so many images, stratified by class.", envvar="REPAUDIT_LIMIT"
        ),
    ] = None,
    baseline: Baseline = None,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            help="Architecture of a bare checkpoint: a timm name, torchvision:NAME, py:FILE.py:factory.",
            envvar="REPAUDIT_ARCH",
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            "--preprocess",
            metavar="NAME|FILE",
            help="How images are normalised: timm:NAME, torchvision:NAME/WEIGHTS (or "
            "torchvision:ResNet50_Weights.IMAGENET1K_V2), or a YAML file with mean and std.",
            envvar="REPAUDIT_PREPROCESS",
        ),
    ] = None,
    output: Files = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ignore what earlier runs left.", envvar="REPAUDIT_FRESH")
    ] = False,
    skip_bad_images: Annotated[
        bool,
        typer.Option(
            "--skip-bad-images",
            help="Leave out image files that cannot be used, and list them.",
            envvar="REPAUDIT_SKIP_BAD_IMAGES",
        ),
    ] = False,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.", envvar="REPAUDIT_DEVICE")
    ] = "auto",
    batch_size: Annotated[
        str,
        typer.Option(
            "--batch-size", help="Rows that attacks hold at a time: auto or a number.", envvar="REPAUDIT_BATCH_SIZE"
        ),
    ] = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            help="Of the clean pass and of searches: float32, or bfloat16, whose successes float32 confirms.",
            envvar="REPAUDIT_DTYPE",
        ),
    ] = "float32",
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="pool|reference",
            help="Who runs AutoAttack: repaudit, or the published implementation as a second opinion.",
            envvar="REPAUDIT_ENGINE",
        ),
    ] = "pool",
    save_adversarials: Annotated[
        bool,
        typer.Option(
            "--save-adversarials",
            help="Images that broke the model go into DIR/adversarials of -o DIR, as float and as 8-bit pictures.",
            envvar="REPAUDIT_SAVE_ADVERSARIALS",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, help="Processes that decode images.", envvar="REPAUDIT_WORKERS"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="Of every draw: splits, resamples, attacks. Default: 0.", envvar="REPAUDIT_SEED"
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never touch the network.", envvar="REPAUDIT_OFFLINE")
    ] = False,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="Load checkpoints and programs that run code when read. Only your own.",
            envvar="REPAUDIT_TRUST_PICKLE",
        ),
    ] = False,
    exit_zero: ExitZero = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Audit pretrained classifiers on labelled images, report, and judge the profile's gates."""
    from repaudit.cli._run import Presentation, run
    from repaudit.cli._several import run_several
    from repaudit.conductor import Order, carry_out
    from repaudit.device import limit_threads
    from repaudit.profiles import load

    resolved = load(
        profile,
        audits=None if audits is None else [name.strip() for name in audits.split(",") if name.strip()],
        settings=[*(settings or []), *_engine(engine)],
        limit=limit,
        directory=Path.cwd(),
    )
    wanted = models or [
        _given(resolved.model, "MODEL", "repaudit scan resnet50.a1_in1k --data imagenet-val:DIR"),
    ]
    order = Order(
        model=wanted[0],
        data=_given(data or resolved.data, "--data", "--data imagenet-val:DIR   (repaudit list data)"),
        profile=resolved,
        arch=arch,
        preprocess=preprocess,
        fresh=fresh,
        skip_bad_images=skip_bad_images,
        device=device,
        batch_size=batch_size,
        dtype=dtype,
        adversarials=_folder_for(output) if save_adversarials else None,
        baseline=baseline,
        workers=workers,
        seed=seed if seed is not None else resolved.seed or 0,
        offline=offline,
        trust_pickle=trust_pickle,
        argv=tuple(sys.argv[1:]),
    )
    limit_threads()
    presentation = Presentation(
        outputs=tuple(output or ()), quiet=quiet, verbose=verbose, exit_zero=exit_zero, announced=True
    )
    if len(wanted) > 1:
        raise typer.Exit(run_several([replace(order, model=model) for model in wanted], presentation))
    raise typer.Exit(run(lambda progress: carry_out(order, progress), presentation))


def _engine(name: str) -> list[str]:
    """The profile key that `--engine` stands for."""
    if name not in {"pool", "reference"}:
        raise UsageError(f"there is no engine `{name}`", remedy="--engine pool   (or reference)")
    return [] if name == "pool" else [f"robustness.engine={name}"]


def _folder_for(output: list[str] | None) -> Path:
    """Where adversarial images go."""
    from repaudit.output.destination import is_folder

    for each in output or []:
        if is_folder(each):
            return Path(each) / "adversarials"
    raise UsageError("--save-adversarials needs a folder to save them in", remedy="-o DIR --save-adversarials")


def _given(value: str | None, name: str, remedy: str) -> str:
    if value is None:
        raise UsageError(f"{name} is missing, on the command line and in the profile", remedy=remedy)
    return value
