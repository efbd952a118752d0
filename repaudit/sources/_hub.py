"""The Hugging Face hub: forbidden on request, asked once whether it answers, and kept from talking on stderr."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER_WITHIN_S = 10.0
_NETWORK_MODULES = ("huggingface_hub", "httpx", "httpx2", "requests", "urllib3")


def silence() -> Exception | None:
    """Asks the hub for a sign of life, once.

    Its own client asks six times a file, with pauses: most of a minute where there is no network at all.

    Returns:
        What kept it from answering; None where it answered, whatever it said.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return None
    try:
        get_session().head(constants.ENDPOINT, timeout=ANSWER_WITHIN_S)
    except Exception as error:  # each version of the client has its own failures
        return error
    return None


@contextmanager
def cache_only() -> Iterator[None]:
    """Only what lies in the hub's cache, for this block."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def no_downloads() -> Iterator[None]:
    """Keeps the hub and torch.hub from the network, for this block."""
    from timm.models import _hub as hub_of_timm  # it keeps a name of its own for torch's function
    from torch import hub

    def refuse(url: str, *_: object, **__: object) -> None:
        raise OSError(f"the cache lacks {url.rpartition('/')[2]}")

    places = (vars(hub), vars(hub_of_timm))
    before = [names["download_url_to_file"] for names in places]
    for names in places:
        names["download_url_to_file"] = refuse
    try:
        with cache_only():
            yield
    finally:
        for names, download in zip(places, before, strict=True):
            names["download_url_to_file"] = download


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the hub's remarks on retries from stderr: what came of them is told by the error."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def is_network_failure(error: BaseException) -> bool:
    """Whether weights are missing for want of a network or of a file, rather than for what they are."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in _NETWORK_MODULES
