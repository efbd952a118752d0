"""Small ONNX graphs made node by node, and what they compute, in numpy alone."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE, WIDTH, CLASSES = 3, 8, 5, 4
KINDS = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16, np.float64: TensorProto.DOUBLE}


@dataclass
class Recipe:
    """A convolution, a rectifier, a mean over positions and a linear layer."""

    end: str = "Gemm"
    """Gemm, MatMul or Conv: how the linear layer is written."""
    softmax: bool = False
    nhwc: bool = False
    channels: int = CHANNELS
    batch: int | None = None
    opset: int = 13
    dtype: type = np.float32
    seed: int = 0
    extra_output: bool = False
    operator_domain: str = ""
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.weights = {
            "kernel": rng.normal(0, 0.5, (WIDTH, self.channels, 3, 3)).astype(self.dtype),
            "head": rng.normal(0, 1, (CLASSES, WIDTH)).astype(self.dtype),
            "bias": rng.normal(0, 0.3, CLASSES).astype(self.dtype),
        }

    def features(self, images: np.ndarray) -> np.ndarray:
        """(n, WIDTH) in float64, of (n, channels, 8, 8) images, by loops over positions."""
        kernel = self.weights["kernel"].astype(np.float64)
        found = np.zeros((len(images), WIDTH, SIDE - 2, SIDE - 2))
        for row in range(SIDE - 2):
            for column in range(SIDE - 2):
                patch = images[:, :, row : row + 3, column : column + 3].astype(np.float64)
                found[:, :, row, column] = np.einsum("ncij,kcij->nk", patch, kernel)
        return np.maximum(found, 0).mean(axis=(2, 3))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(n, CLASSES) in float64."""
        head, bias = self.weights["head"].astype(np.float64), self.weights["bias"].astype(np.float64)
        return self.features(images) @ head.T + bias

    def model(self) -> onnx.ModelProto:
        kind = KINDS[self.dtype]
        images = [self.batch or "n", self.channels, SIDE, SIDE]
        if self.nhwc:
            images = [images[0], SIDE, SIDE, self.channels]
        stored = dict(self.weights)
        nodes = [helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2])] if self.nhwc else []
        nodes += [
            helper.make_node("Conv", ["planes" if self.nhwc else "images", "kernel"], ["maps"], kernel_shape=[3, 3]),
            helper.make_node("Relu", ["maps"], ["rectified"]),
            helper.make_node("GlobalAveragePool", ["rectified"], ["pooled"]),
        ]
        if self.end == "Conv":
            stored["head"] = stored["head"][:, :, None, None]
            nodes += [
                helper.make_node("Conv", ["pooled", "head", "bias"], ["planar"], kernel_shape=[1, 1], name="classify"),
                helper.make_node("Flatten", ["planar"], ["logits"]),
            ]
        elif self.end == "MatMul":
            stored["head"] = np.ascontiguousarray(stored["head"].T)
            nodes += [
                helper.make_node("Flatten", ["pooled"], ["feature"]),
                helper.make_node("MatMul", ["feature", "head"], ["product"], name="classify"),
                helper.make_node("Add", ["product", "bias"], ["logits"]),
            ]
        else:
            nodes += [
                helper.make_node("Flatten", ["pooled"], ["feature"]),
                helper.make_node("Gemm", ["feature", "head", "bias"], ["logits"], transB=1, name="classify"),
            ]
        last = "logits"
        if self.softmax:
            nodes.append(helper.make_node("Softmax", ["logits"], ["shares"], axis=1))
            last = "shares"
        if self.operator_domain:
            nodes.append(helper.make_node("Mystery", [last], ["last"], domain=self.operator_domain))
            last = "last"
        outputs = [helper.make_tensor_value_info(last, kind, [self.batch or "n", CLASSES])]
        if self.extra_output:
            outputs.append(helper.make_tensor_value_info("maps", kind, None))
        graph = helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("images", kind, images)],
            outputs,
            [numpy_helper.from_array(values, name) for name, values in stored.items()],
        )
        domains = [helper.make_opsetid("", self.opset)]
        if self.operator_domain:
            domains.append(helper.make_opsetid(self.operator_domain, 1))
        return helper.make_model(graph, opset_imports=domains, ir_version=8)

    def save(self, folder: Path, **options: object) -> Path:
        path = folder / "small.onnx"
        onnx.save(self.model(), str(path), **options)
        return path


def digits_graph(weight: np.ndarray, bias: np.ndarray, *, convertible: bool) -> onnx.ModelProto:
    """A linear layer on grey 8×8 images, weight (64, classes); on demand with an operator that onnx2torch lacks."""
    stored = {"weight": weight, "bias": bias}
    nodes = [helper.make_node("Flatten", ["images"], ["flat"])]
    linear = helper.make_node(
        "Gemm", ["flat", "weight", "bias"], ["logits" if convertible else "scores"], name="linear"
    )
    nodes.append(linear)
    if not convertible:
        stored["nothing"] = np.zeros(1)
        nodes += [
            helper.make_node("Det", ["images"], ["volumes"]),
            helper.make_node("Mul", ["volumes", "nothing"], ["none"]),
            helper.make_node("Add", ["scores", "none"], ["logits"]),
        ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(bias)])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
