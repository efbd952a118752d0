"""What a TorchScript file would do beyond arithmetic: its source is read before torch compiles it.

TorchScript runs in torch's own interpreter and cannot call Python; but some of its operators read and write files,
and a method of it runs when the file is loaded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pathlib import Path

REACHING = re.compile(r"\b(?:save|from_file|load_tensor|read_file|write_file|rpc_sync|rpc_async|rpc_remote)\b")
"""Operators that read or write files or ask other machines. The bare word is enough: blanks and comments may stand
between it and its bracket."""
OTHER_OPERATORS = re.compile(r"(?<!\.)\bops\b(?!\.(?:aten|prim|prims|quantized|torchvision)\.)[\w.]*")
OTHER_CLASSES = re.compile(r"\bclasses\b(?!\.(?:quantized|rnn|xnnpack|mkldnn)\.)[\w.]*")
OLD_LAYOUT = "model.json"


def code_in_script(path: Path) -> str | None:
    """What of a TorchScript file reaches beyond its own tensors, in words; None where nothing does.

    Raises:
        Exception: whatever torch's reader raises on a file that is no such archive.
    """
    # torch's own reader, not zipfile: of a crooked archive the two may see different files.
    reader = torch._C.PyTorchFileReader(str(path))
    names = reader.get_all_records()
    if OLD_LAYOUT in names:
        return "it has the layout of torch before 1.4, whose code is not looked through"
    if len({name.lower() for name in names}) < len(names):
        return "two of its parts have the same name"
    for name in names:
        if not name.endswith(".py"):
            continue
        source = reader.get_record(name).decode("utf-8", "replace")
        for pattern in (REACHING, OTHER_OPERATORS, OTHER_CLASSES):
            found = pattern.search(source)
            if found is not None:
                return f"`{name[:200]}` names `{found[0][:200]}`, by which files or other machines could be reached"
    return None
