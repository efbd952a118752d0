"""Files made to do more than to hold a network: none of it happens unless it is trusted."""

import contextlib
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.data import DataRequest, open_images
from repaudit.errors import InvalidData, InvalidModel
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress
from repaudit.sources import load_model


class Touch:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


class Reading(nn.Module):
    """A script whose forward pass reads a file of the user's."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        secret = torch.from_file("/etc/passwd", False, 4, dtype=torch.uint8)
        return images.mean(dim=(2, 3)) + secret.sum()


@pytest.fixture
def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4)).eval()


@pytest.fixture
def exported(tmp_path, network):
    """A harmless program."""
    example, batch = torch.zeros(2, 3, 8, 8), torch.export.Dim("batch", min=1, max=4096)
    torch.export.save(
        torch.export.export(network, (example,), dynamic_shapes=({0: batch},)), str(tmp_path / "whole.pt2")
    )
    return tmp_path / "whole.pt2"


@pytest.fixture
def preprocess(tmp_path):
    (tmp_path / "p.yaml").write_text("mean: [0.5, 0.5, 0.5]\nstd: [0.25, 0.25, 0.25]\n")
    return str(tmp_path / "p.yaml")


def rewritten(source, target, changed=None, added=None):
    """The same archive with parts changed by functions from bytes to bytes, and parts added below its root."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            change = (changed or {}).get(name.removeprefix(f"{root}/"), lambda content: content)
            new.writestr(name, change(old.read(name)))
        for name, content in (added or {}).items():
            new.writestr(f"{root}/{name}" if "/" in name else name, content)
    return target


def pickled(path):
    stream = io.BytesIO()
    torch.save(Touch(path), stream)
    return stream.getvalue()


def with_json(change):
    def changed(content):
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return changed


def in_graph(change):
    return {"models/model.json": with_json(lambda document: change(document["graph_module"]["graph"]))}


def pickled_weight(document):
    next(iter(document["config"].values()))["use_pickle"] = True


def evaluated(path):
    def change(graph):
        size = graph["tensor_values"]["input"]["sizes"][0]["as_expr"]
        size["expr_str"] = f"__import__('pathlib').Path({str(path)!r}).touch()"

    return change


def called(target):
    def change(graph):
        graph["nodes"][0]["target"] = target

    return change


def opaque(document):
    document["config"]["x"] = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}


def named(graph):
    graph["inputs"][-1]["as_tensor"]["name"] = "input=print(1)"


RUN_AT_LOAD = {
    "a pickled weight": lambda path: {
        "changed": {
            "data/weights/model_weights_config.json": with_json(pickled_weight),
            "data/weights/weight_0": lambda _: pickled(path),
        }
    },
    "a pickled constant": lambda path: {
        "changed": {"data/constants/model_constants_config.json": with_json(opaque)},
        "added": {"data/constants/opaque_obj_0": pickle.dumps(Touch(path))},
    },
    "pickled samples": lambda path: {"changed": {"data/sample_inputs/model.pt": lambda _: pickled(path)}},
    "an expression": lambda path: {"changed": in_graph(evaluated(path))},
}
RUN_WHEN_ASKED = {
    "a function of torch": lambda path: {"changed": in_graph(called("torch.os.system"))},
    "an operator on files": lambda path: {"changed": in_graph(called("torch.ops.aten.from_file.default"))},
    "no operator": lambda path: {"changed": in_graph(called("torch.ops.aten.linear.op"))},
    "source code as a name": lambda path: {"changed": in_graph(named)},
    "machine code": lambda path: {"added": {"data/aotinductor/model/model.so": b"\x7fELF"}},
    "an older layout": lambda path: {"added": {"serialized_constants.pt": pickled(path)}},
    "pickled weights of an older layout": lambda path: {"added": {"data/weights/model.pt": pickled(path)}},
}


@pytest.mark.parametrize("case", [*RUN_AT_LOAD, *RUN_WHEN_ASKED])
def test_a_program_that_would_run_code_is_refused_and_nothing_of_it_runs(tmp_path, exported, preprocess, case):
    make = {**RUN_AT_LOAD, **RUN_WHEN_ASKED}[case]
    path = rewritten(exported, tmp_path / "hostile.pt2", **make(tmp_path / "was here"))

    with pytest.raises(InvalidModel, match="cannot be read without running code from it") as refused:
        load_model(str(path), preprocess=preprocess)

    assert "--trust-pickle" in refused.value.remedy
    assert refused.value.detail != ""
    assert not (tmp_path / "was here").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", RUN_AT_LOAD)
def test_what_is_refused_does_run_once_it_is_trusted(tmp_path, exported, preprocess, case):
    path = rewritten(exported, tmp_path / "hostile.pt2", **RUN_AT_LOAD[case](tmp_path / "was here"))

    with contextlib.suppress(InvalidModel):  # its weights are none any more
        load_model(str(path), preprocess=preprocess, trust_pickle=True)

    assert (tmp_path / "was here").exists()


def test_guards_of_a_program_are_source_code_and_never_run(tmp_path, exported, preprocess):
    touch = f"__import__('pathlib').Path({str(tmp_path / 'was here')!r}).touch() is None"
    change = with_json(lambda document: document.update(guards_code=[touch]))
    path = rewritten(exported, tmp_path / "guarded.pt2", {"models/model.json": change})

    classifier = load_model(str(path), preprocess=preprocess)
    classifier.logits(torch.rand(2, 3, 8, 8))

    assert not (tmp_path / "was here").exists()


def test_a_rewritten_program_without_anything_hostile_still_loads(tmp_path, exported, network, preprocess):
    path = rewritten(exported, tmp_path / "again.pt2")
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    found = load_model(str(path), preprocess=preprocess).logits(images)

    torch.testing.assert_close(found, network((images - 0.5) / 0.25).detach())


@pytest.mark.filterwarnings("ignore")
def test_a_script_that_reads_files_is_refused_until_it_is_trusted(tmp_path, preprocess):
    torch.jit.script(Reading()).save(str(tmp_path / "reading.pt"))

    with pytest.raises(InvalidModel, match="without running code") as refused:
        load_model(str(tmp_path / "reading.pt"), preprocess=preprocess)
    assert "from_file" in refused.value.detail
    trusted = load_model(str(tmp_path / "reading.pt"), preprocess=preprocess, trust_pickle=True)
    assert any("--trust-pickle" in note for note in trusted.card.notes)


SCRIPTS = {
    "a file written": "torch.save(images, 'x')",
    "behind a comment": "torch. # \n save # \n (images, 'x')",
    "foreign operators": "ops.image.write_file('x', images)",
    "foreign classes": "__torch__.torch.classes.c10d.FileStore()",
    "another machine": "rpc_sync(images)",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", SCRIPTS)
def test_a_script_whose_source_names_what_reaches_files_is_refused_before_it_is_compiled(
    tmp_path, network, preprocess, case
):
    torch.jit.script(network).save(str(tmp_path / "whole.pt"))
    name = next(name for name in zipfile.ZipFile(tmp_path / "whole.pt").namelist() if name.endswith(".py"))
    place = name.partition("/")[2]
    path = rewritten(
        tmp_path / "whole.pt", tmp_path / "h.pt", {place: lambda source: source + f"\n{SCRIPTS[case]}".encode()}
    )

    with pytest.raises(InvalidModel, match="without running code"):
        load_model(str(path), preprocess=preprocess)


ZEROS = bytes(80 << 20)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A part of 80 MiB in an archive of 80 kB."""
    path = tmp_path_factory.mktemp("grown") / "zeros.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", ZEROS)
        archive.writestr("archive/code/x.py", "")
    return path.read_bytes()


@pytest.mark.parametrize("name", ["weights.pth", "program.pt2", "script.ts", "script.pt"])
def test_an_archive_that_grows_a_thousandfold_is_refused_with_both_sizes(tmp_path, grown, preprocess, name):
    (tmp_path / name).write_bytes(grown)
    arch = "resnet18" if name.endswith(".pth") else None
    if name == "weights.pth":  # without code it is a checkpoint
        (tmp_path / name).write_bytes(grown.replace(b"archive/code/x.py", b"archive/edoc/x.py"))

    with pytest.raises(InvalidModel, match=rf"{len(grown):,} bytes would become {len(ZEROS):,}"):
        load_model(str(tmp_path / name), preprocess=preprocess, arch=arch)


def test_parts_that_overlap_count_each_time(tmp_path):
    """Two hundred entries of the directory name one part of 1 MB that is stored as it is."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))
        first = archive.infolist()[0]
        for number in range(1, 200):
            other = zipfile.ZipInfo(f"archive/data/{number}")
            other.header_offset, other.file_size = first.header_offset, first.file_size
            other.compress_size, other.CRC = first.compress_size, first.CRC
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
    (tmp_path / "overlapping.pth").write_bytes(stream.getvalue())

    with pytest.raises(InvalidModel, match=rf"would become {200 << 20:,}"):
        load_model(str(tmp_path / "overlapping.pth"), arch="resnet18")


def test_images_that_shrink_a_thousandfold_are_refused(tmp_path):
    black = np.zeros((28_000, 32, 32, 3), np.uint8)
    np.savez_compressed(tmp_path / "black.npz", images=black, labels=np.zeros(28_000, np.int64))
    asked = DataRequest(
        ref=f"npz:{tmp_path / 'black.npz'}", preprocess=Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3, source="test"),
        classes_count=2, class_ids=None, limit=None, seed=0, skip_bad_images=False, workers=0,
        progress=SilentProgress(),
    )  # fmt: skip

    with pytest.raises(InvalidData, match="would become"):
        open_images(asked)


def test_a_checkpoint_that_claims_a_tensor_of_terabytes_of_four_numbers_is_refused(tmp_path):
    torch.save({"w": torch.zeros(4).as_strided((1 << 20, 1 << 20), (0, 0))}, tmp_path / "w.pth")

    with pytest.raises(InvalidModel, match=rf"`w` makes {4 << 40:,} bytes of 16"):
        load_model(str(tmp_path / "w.pth"), arch="resnet18")


SAFETENSORS = {
    "a header of exabytes": struct.pack("<Q", 1 << 60) + b"{}",
    "a header longer than the file": struct.pack("<Q", 5000) + b"{}",
    "a tensor beyond the file": b'{"w":{"dtype":"F32","shape":[1048576,1048576],"data_offsets":[0,4398046511104]}}',
    "a shape that its bytes contradict": b'{"w":{"dtype":"F32","shape":[1048576,1048576],"data_offsets":[0,4]}}',
    "a shape whose product overflows": b'{"w":{"dtype":"F32","shape":[9223372036854775807,8],"data_offsets":[0,4]}}',
    "offsets backwards": b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
}


@pytest.mark.parametrize("case", SAFETENSORS)
def test_safetensors_that_claim_absurd_sizes_are_refused(tmp_path, case):
    header = SAFETENSORS[case]
    content = header if header.endswith(b"{}") else struct.pack("<Q", len(header)) + header + bytes(4)
    (tmp_path / "w.safetensors").write_bytes(content)

    with pytest.raises(InvalidModel, match="is no safetensors checkpoint, or only part of one"):
        load_model(str(tmp_path / "w.safetensors"), arch="resnet18")


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.pt2", "w.ts"])
def test_an_archive_with_a_torn_directory_is_refused(tmp_path, network, name):
    torch.save(network.state_dict(), tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    start = content.rfind(b"PK\x01\x02")
    content[start : start + 4] = b"XXXX"
    (tmp_path / name).write_bytes(bytes(content))

    with pytest.raises(InvalidModel):
        load_model(str(tmp_path / name), arch=None if name in {"w.pt2", "w.ts"} else "resnet18")
