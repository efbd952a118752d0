"""What several test files need: real weights where they lie, and small cases made of arrays."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Small networks on busy machines: threads that wait for one another cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks.intake import Subjects
from repaudit.case import Case, EvaluationShape, Parameters
from repaudit.classifier import Capability, Card, Classifier, HeadCard
from repaudit.evidence import Evidence, collect
from repaudit.finding import Better, Measurement, Unit
from repaudit.images import Batch, ImageSet
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress
from repaudit.report import (
    AuditEntry,
    Cost,
    DataSection,
    Environment,
    EvaluationShapeEntry,
    HeadSection,
    ModelSection,
    ProfileSection,
    Report,
    Run,
    RunStatus,
    Tool,
    gather,
    write,
)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real weights and images."""
    folder = os.environ.get("REPAUDIT_ASSETS")
    if not folder:
        pytest.skip("REPAUDIT_ASSETS does not name the folder of real weights and images")
    return Path(folder)


@pytest.fixture(scope="session")
def networks_file() -> Path:
    """Factories of the networks whose real weights are tested."""
    return Path(__file__).parent / "networks.py"


@dataclass(frozen=True)
class RealNetwork:
    """How a checkpoint among the assets is loaded."""

    file: str
    factory: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


REAL_NETWORKS = {
    "resnet20": RealNetwork("resnet20-12fca82f.th", "resnet20", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cnn_a_mix": RealNetwork("cnn_a_mix.pth", "cnn_a", (0.4914, 0.4824, 0.4467), (0.2023, 0.1994, 0.2010)),
    "resnet2b": RealNetwork("resnet2b.pth", "resnet2b", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
}


@pytest.fixture
def real_arguments(assets, networks_file, tmp_path) -> Callable[[str], dict[str, str]]:
    """What `load_model` takes for a real CIFAR-10 checkpoint."""

    def arguments(name: str) -> dict[str, str]:
        real = REAL_NETWORKS[name]
        preprocess = tmp_path / f"{name}.yaml"
        preprocess.write_text(f"mean: {list(real.mean)}\nstd: {list(real.std)}\n")
        return {
            "ref": str(assets / "cifar10" / real.file),
            "arch": f"py:{networks_file}:{real.factory}",
            "preprocess": str(preprocess),
        }

    return arguments


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(20240))


class ArrayImages(ImageSet):
    """Images in memory, the simplest set there is."""

    def __init__(self, images: torch.Tensor, labels: np.ndarray) -> None:
        self.stored = images
        self.labels = labels.astype(np.int64)
        self.ids = tuple(f"image-{row:04d}" for row in range(len(labels)))
        self.ref = self.layout = "test"
        self.label_source = "given"
        self.class_names = None
        self.fingerprint = "0" * 64
        self.subset = "all"
        self.bad_images = ()

    def batches(self, rows, ids=None):
        position = {name: row for row, name in enumerate(self.ids)}
        chosen = [position[name] for name in (self.ids if ids is None else ids)]
        for start in range(0, len(chosen), rows):
            part = chosen[start : start + rows]
            yield Batch(self.stored[part], torch.from_numpy(self.labels[part]), tuple(self.ids[row] for row in part))


class _LinearSplit:
    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight.detach(), layer.bias.detach()
        self._features: list[torch.Tensor] = []
        layer.register_forward_pre_hook(lambda _, inputs: self._features.append(inputs[0]))

    def collect(self) -> torch.Tensor:
        return self._features.pop()


@pytest.fixture
def make_classifier() -> Callable[..., Classifier]:
    """Wraps a network whose last layer is `network[-1]`, an nn.Linear."""

    def make(network: nn.Sequential, *, channels: int = 3, mean: float = 0.0, std: float = 1.0) -> Classifier:
        layer = network[-1]
        preprocess = Preprocess(mean=(mean,) * channels, std=(std,) * channels, source="test")
        card = Card(
            ref="test",
            resolved="test",
            source="test",
            architecture="test",
            arguments={},
            weights_sha256="0" * 64,
            files={},
            preprocess=preprocess,
            params_count=sum(p.numel() for p in network.parameters()),
            classes_count=layer.out_features,
            class_ids=None,
            head=HeadCard(kind="linear", modules=("last",), feature_width=layer.in_features, proof_error=0.0),
        )
        return Classifier(network, card, _LinearSplit(layer), torch.device("cpu"), frozenset(Capability))

    return make


@pytest.fixture
def make_images() -> Callable[..., ArrayImages]:
    return ArrayImages


@pytest.fixture
def make_evidence() -> Callable[..., Evidence]:
    """Evidence of an affine head: logits = features @ weight.T + bias, in float32 as a network leaves them."""

    def make(features: np.ndarray, labels: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> Evidence:
        bias = np.zeros(len(weight)) if bias is None else bias
        logits = features @ weight.T + bias
        ids = tuple(f"image-{row:04d}" for row in range(len(labels)))
        return Evidence(
            ids=ids,
            labels=np.asarray(labels, dtype=np.int64),
            logits=logits.astype(np.float32),
            features=features.astype(np.float32),
            weight=weight.astype(np.float32),
            bias=bias.astype(np.float32),
        )

    return make


@pytest.fixture
def logits_evidence() -> Callable[..., Evidence]:
    """Evidence of a model without a linear head."""

    def make(logits: np.ndarray, labels: np.ndarray) -> Evidence:
        ids = tuple(f"image-{row:04d}" for row in range(len(labels)))
        return Evidence(
            ids=ids,
            labels=np.asarray(labels, dtype=np.int64),
            logits=np.asarray(logits, dtype=np.float32),
            features=None,
            weight=None,
            bias=None,
        )

    return make


@pytest.fixture
def make_case(make_classifier) -> Callable[..., Case[Parameters]]:
    """A case for audits; the classifier and images matter only to those that attack."""

    def make(evidence: Evidence, parameters: Parameters, classifier=None, images=None, seed: int = 0) -> Case:
        if images is None:
            images = ArrayImages(torch.zeros(len(evidence), 1, 1, 1, dtype=torch.uint8), evidence.labels)
        if classifier is None:
            classifier = make_classifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))
        return Case(
            classifier=classifier,
            images=images,
            evidence=evidence,
            parameters=parameters,
            seed=seed,
            shape=EvaluationShape(rows=8, calls=4),
            progress=SilentProgress(),
        )

    return make


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    """A complete report of some findings; keywords replace whole sections."""

    def make(*findings, skipped=None, **sections) -> Report:
        gathered = gather(findings)
        cost = Cost(duration_s=0.5, forward_rows=1000, backward_rows=0)
        defaults = {
            "tool": Tool(version="0.1.0"),
            "run": Run(
                id="run-1",
                status=RunStatus.COMPLETE,
                exit_code=0,
                argv=["repaudit", "scan", "net", "--data", "images"],
                started_utc="2024-01-01T00:00:00+00:00",
                duration_s=1.5,
                seed=0,
                environment=Environment(
                    python="3.11.0",
                    platform="Linux",
                    packages={"torch": "2.0", "numpy": "2.0"},
                    device="cpu",
                    cpu="x86_64",
                    threads=2,
                    numerics={"dtype": "float32"},
                    evaluation_shape=EvaluationShapeEntry(rows=64, calls=4),
                ),
                clean_pass=cost,
                audits={"accuracy": cost},
            ),
            "model": ModelSection(
                ref="net",
                resolved="timm:net",
                params_count=5050,
                classes_count=10,
                weights_sha256="0" * 64,
                architecture="net",
                arguments={},
                preprocess={"mean": (0.5,), "std": (0.25,)},
                head=HeadSection(kind="linear", modules=["fc"], feature_width=8, proof_error=1e-7),
                capabilities=["linear_head", "features"],
                files={"net.safetensors": "1" * 64},
            ),
            "data": DataSection(
                ref="images", layout="npz", images_count=1000, labels="given", fingerprint="2" * 64, subset="all"
            ),
            "profile": ProfileSection(name="quick", sha256="3" * 64, resolved={"audits": {"accuracy": {}}}),
            "audits": [
                AuditEntry(
                    id="accuracy",
                    version=1,
                    status="ok",
                    params={},
                    images_count=1000,
                    skipped={**gathered.skipped, **(skipped or {})},
                )
            ],
            "metrics": dict(gathered.metrics),
            "figures": dict(gathered.figures),
            "warnings": list(gathered.warnings),
        }
        return Report(**{**defaults, **sections})

    return make


@pytest.fixture
def predicted_images() -> Callable[..., ArrayImages]:
    """Random images labelled with what the classifier says of them, so that all are initially correct."""

    def make(classifier: Classifier, n: int, *, size: int = 8, seed: int = 5) -> ArrayImages:
        channels = classifier.card.preprocess.channels
        generator = torch.Generator().manual_seed(seed)
        stored = torch.randint(0, 256, (n, channels, size, size), generator=generator, dtype=torch.uint8)
        with torch.no_grad():
            labels = classifier.logits(stored.float() / 255).argmax(1)
        return ArrayImages(stored, labels.numpy())

    return make


@pytest.fixture
def subjects_of() -> Callable[..., Subjects]:
    """The initially correct images of a set, ready to be attacked."""

    def make(classifier: Classifier, images: ImageSet, rows: int = 8) -> Subjects:
        evidence = collect(classifier, images, rows=rows, progress=SilentProgress()).evidence
        right = np.flatnonzero(evidence.summary.correct)
        return Subjects(
            ids=tuple(evidence.ids[row] for row in right),
            labels=evidence.labels[right],
            logits=np.asarray(evidence.logits)[right],
        )

    return make


@pytest.fixture
def save_report(make_report, tmp_path) -> Callable[..., Path]:
    """Writes a report with per-image rows into a folder; its figures follow from the rows."""

    def rows_of(right: np.ndarray, confidence: np.ndarray | None, outcome: np.ndarray | None) -> dict[str, np.ndarray]:
        n = len(right)
        columns = {
            "id": np.array([f"image-{row:05d}" for row in range(n)]),
            "label": np.zeros(n, dtype=np.int64),
            "prediction": np.where(right, 0, 1),
            "confidence": np.full(n, 0.75) if confidence is None else confidence,
        }
        columns["log_p_label"] = np.log(np.where(right, columns["confidence"], 1 - columns["confidence"]))
        return columns if outcome is None else columns | {"attack_fgsm_outcome": outcome.astype(np.int8)}

    def found_in(columns: dict[str, np.ndarray]) -> list[Measurement]:
        def one(key: str, value: float, unit: Unit, better: Better, note: str = "") -> Measurement:
            return Measurement(
                key=key, value=value, unit=unit, better=better, n=n, note=note, interval_reason="made up"
            )

        n, right = len(columns["id"]), columns["prediction"] == columns["label"]
        gap = abs(columns["confidence"].mean() - right.mean())
        measured = [
            one("accuracy.top1", right.mean(), Unit.FRACTION, Better.HIGHER),
            one("calibration.ece", gap, Unit.FRACTION, Better.LOWER, "15 equal-width bins (a,b]"),
            one("calibration.nll", -columns["log_p_label"].mean(), Unit.NATS, Better.LOWER),
            one("geometry.rms", 2.5, Unit.SCALE, Better.NEITHER),
        ]
        if "attack_fgsm_outcome" in columns:
            outcome = columns["attack_fgsm_outcome"]
            robust, broken, lost = ((outcome == code).sum() for code in (0, 1, 2))
            note = "of all; fgsm, linf 8/255"
            measured += [
                one("robustness.fgsm.robust_accuracy", robust / n, Unit.FRACTION, Better.HIGHER, note),
                one("robustness.fgsm.asr", broken / max(broken + robust, 1), Unit.FRACTION, Better.LOWER, note),
                one("robustness.fgsm.error_share", lost / n, Unit.FRACTION, Better.LOWER, note),
                one("robustness.worst.robust_accuracy", robust / n, Unit.FRACTION, Better.HIGHER, note),
            ]
        return measured

    def save(
        name: str,
        right: np.ndarray,
        *,
        confidence: np.ndarray | None = None,
        outcome: np.ndarray | None = None,
        params: dict[str, dict[str, object]] | None = None,
        model: dict[str, object] | None = None,
        run: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        sidecar: bool = True,
        **sections: object,
    ) -> Path:
        columns = rows_of(np.asarray(right, dtype=bool), confidence, outcome)
        measured = found_in(columns)
        asked = {"accuracy": {}, "calibration": {"bins": 15}, "geometry": {}}
        asked |= {} if outcome is None else {"robustness": {"attacks": [{"name": "fgsm", "key": "fgsm"}], "limit": 9}}
        asked |= params or {}
        n = len(columns["id"])
        audits = [
            AuditEntry(id=audit, version=1, status="ok", params=values, images_count=n)
            for audit, values in asked.items()
        ]
        report = make_report(*measured, audits=audits)
        changes = {
            "model": report.model.model_copy(update={"resolved": name, "weights_sha256": name, **(model or {})}),
            "run": report.run.model_copy(update=run or {}),
            "data": report.data.model_copy(update={"images_count": n, **(data or {})}),
        }
        folder = tmp_path / f"report-{len(list(tmp_path.glob('report-*')))}"
        folder.mkdir()
        write(
            report.model_copy(update=changes | sections), folder / "report.json", columns=columns if sidecar else None
        )
        return folder

    return save
