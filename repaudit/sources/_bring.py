"""What to bring to a machine that cannot download, and where to put it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel
from repaudit.foreign import said

if TYPE_CHECKING:
    from collections.abc import Mapping


def out_of_reach(
    name: str, config: Mapping[str, object], cause: BaseException | None, *, offline: bool
) -> InvalidModel:
    """The refusal of a timm name whose files are not here.

    Args:
        name: timm's, or `hf-hub:OWNER/NAME[@REVISION]`.
        config: timm's entry of the name; empty for the hub.
        cause: what came of the attempt to download, if there was one.
        offline: the download was forbidden.
    """
    said_so = "--offline forbids the download" if offline else "they could not be downloaded"
    repository = name.partition(":")[2] or str(config.get("hf_hub_id") or "")
    return InvalidModel(
        f"the files of `{name}` are not in the cache, and {said_so}",
        detail="" if offline or cause is None else said(cause),
        remedy=_from_the_hub(name, repository) if repository else bring_to(str(config.get("url"))),
    )


def cached_download(address: str) -> Path:
    """Where torch.hub keeps the file of an address."""
    from torch import hub

    return Path(hub.get_dir()) / "checkpoints" / address.rpartition("/")[2]


def bring_to(address: str) -> str:
    """What to do on a machine that cannot reach an address."""
    return f"bring the file {address} to {cached_download(address)} (TORCH_HOME moves that folder)"


def _from_the_hub(name: str, repository: str) -> str:
    from huggingface_hub import constants

    plain, _, revision = repository.partition("@")
    cached = f"models--{plain.replace('/', '--')}"
    copied = f"bring the folder {cached} of another machine's Hugging Face cache into {constants.HF_HUB_CACHE}"
    own = ":" in name or plain.rpartition("/")[2].partition(".")[0] == name.partition(".")[0]
    if not own:  # the repository's config.json names another architecture
        return copied
    at = f" at revision {revision}" if revision else ""
    return (
        f"bring config.json and model.safetensors of the Hugging Face repository {plain}{at} into a FOLDER, "
        f"then the same command with local-dir:FOLDER in place of {name}; or {copied}"
    )
