"""What reports cost: a scan of 50,000 images of 1,000 classes, its files, and the commands that read them.

The images are 8 x 8 pixels and the network is small: a report does not grow with either, only with images,
classes and attacks. Run from anywhere: `python benchmarks/report.py [FOLDER]`.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

IMAGES, CLASSES = 50_000, 1000
NETWORK = """
from pathlib import Path

import torch
from torch import nn

preprocess = {"mean": [0.5], "std": [0.25], "size": [8, 8]}


def build():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 1000))
    network.load_state_dict(torch.load(Path(__file__).parent / "weights.pth", weights_only=True))
    return network
"""


def problem(folder: Path) -> None:
    """Noisy prototypes, and a network that reads its classes off the prototypes' features."""
    import torch
    from torch import nn

    rng = np.random.default_rng(0)
    prototypes = rng.uniform(0.2, 0.8, (CLASSES, 64))
    labels = np.repeat(np.arange(CLASSES), IMAGES // CLASSES)
    pixels = (prototypes[labels] + rng.normal(0, 0.3, (IMAGES, 64))).clip(0, 1)
    images = np.rint(255 * pixels).astype(np.uint8).reshape(IMAGES, 1, 8, 8)
    np.savez(folder / "images.npz", images=images, labels=labels)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, CLASSES))
    with torch.no_grad():
        inner = torch.from_numpy(((prototypes - 0.5) / 0.25).astype(np.float32))
        features = network[2](network[1](inner))
        features = features - features.mean(0)
        network[3].weight.copy_(features * (60 / features.norm(dim=1, keepdim=True) ** 2))
        network[3].bias.copy_(-0.5 * (network[3].weight * network[2](network[1](inner))).sum(1))
    torch.save(network.state_dict(), folder / "weights.pth")
    (folder / "net.py").write_text(NETWORK)


def command(*arguments: str, folder: Path) -> float:
    """Seconds of a whole process; the better of three, imports from a warm disk cache."""
    environment = os.environ | {"REPAUDIT_CACHE": str(folder / "cache")}
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "repaudit", *arguments],
            cwd=folder, env=environment, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        if not (folder / "out" / "report.json").exists():
            problem(folder)
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "repaudit", "scan", "py:net.py:build", "--data", "npz:images.npz",
                 "--profile", "standard", "--set", "robustness.attacks=[fgsm, pgd_w, pgd_s]", "-q", "-o", "out"],
                cwd=folder, env=os.environ | {"REPAUDIT_CACHE": str(folder / "cache")}, check=False,
            )  # fmt: skip
            print(f"scan and all files of the folder: {time.perf_counter() - started:.1f} s")
        table(folder)


def table(folder: Path) -> None:
    out = folder / "out"
    from repaudit.output import Format, rendered, reopened

    report, _ = reopened(out)
    started = time.perf_counter()
    page = rendered(report, Format.HTML)
    written = time.perf_counter() - started
    sizes = {path.name: path.stat().st_size / 1e3 for path in out.iterdir() if path.is_file()}
    seconds = {
        "repaudit --help": (command("--help", folder=folder), "< 0.5 s"),
        "repaudit gate out": (command("gate", "out", "--set", "gates=[top1 >= 0.5]", "-q", folder=folder), "< 1 s"),
        "repaudit report out -o r.html": (command("report", "out", "-o", "r.html", folder=folder), "< 5 s"),
    }
    counts = f"{len(report.metrics)} metrics, {len(report.figures)} figures"
    print(f"{report.data.images_count:,} images of {CLASSES:,} classes, {counts}")
    print(f"report.json    {sizes['report.json']:8.0f} kB   wanted < 300 kB")
    print(f"report.html    {len(page.encode()) / 1e3:8.0f} kB   wanted < 2000 kB")
    print(f"per_image.npz  {sizes['per_image.npz']:8.0f} kB")
    print(f"HTML rendered in {written:.2f} s of one process, matplotlib's import included   wanted < 5 s")
    for name, (taken, wanted) in seconds.items():
        print(f"{name:30} {taken:6.2f} s   wanted {wanted}")
    largest = sorted(((len(str(data)), key) for key, data in report.figures.items()), reverse=True)[:8]
    print("largest figures:", ", ".join(f"{key} {size / 1e3:.0f} kB" for size, key in largest))


if __name__ == "__main__":
    main()
