"""Every path of the official SDKs has been looked at; only what is free by itself can be listed."""

import re
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tokenpool.gateway.provider_paths import ACCOUNT, BILLED, FREE, Cost, check_listed, cost_of
from tokenpool.kernel.errors import InvalidInput

OWN = {"models", "organizations"}  # served here, whatever the provider has


def paths_of(sdk: Any, start: str) -> set[str]:
    """Return the addresses that the resources of an SDK are written with, without their beginning."""
    sources = [path.read_text() for path in (Path(sdk.__file__).parent / "resources").rglob("*.py")]
    written = {found for source in sources for found in re.findall(r'"(/[a-z_0-9/{}]+)(?:\?[^"]*)?"', source)}
    return {path.removeprefix("/v1").strip("/") for path in written if path.startswith(start)} - {""}


@pytest.mark.parametrize(
    ("sdk", "start", "speaks", "least"), [(anthropic, "/v1/", "anthropic", 100), (openai, "/", "openai", 200)]
)
def test_every_path_of_the_sdk_is_classified(sdk: Any, start: str, speaks: str, least: int) -> None:
    """By its first word, and where that is free by every word below it."""
    paths = paths_of(sdk, start)
    foreign = [path for path in paths if path.split("/")[0] not in OWN]

    assert [] == [path for path in foreign if cost_of(path.split("/"), speaks) is Cost.UNKNOWN]
    assert least <= len(paths)


@pytest.mark.parametrize("speaks", ["anthropic", "openai"])
def test_only_what_is_free_can_be_listed(speaks: str) -> None:
    """Every other path is refused with the reason, whatever else is listed."""
    for word in FREE[speaks]:
        assert (word,) == check_listed("p", speaks, [f"/v1/{word}"])
    for word in BILLED[speaks] | ACCOUNT[speaks]:
        with pytest.raises(InvalidInput, match=r"it can be billed|it administers"):
            check_listed("p", speaks, ["/v1/files", f"/v1/{word}"])


@pytest.mark.parametrize(
    "path", ["", "/", "files", "/v1", "/v1/", "/v1/*", "/v1/files/", "/v1/files/..", "/v1/models", "/v1/no", "//v1"]
)
def test_what_is_not_known_cannot_be_listed(path: str) -> None:
    """A path that nobody has looked at may be billed tomorrow."""
    with pytest.raises(InvalidInput, match=r"it is not known whether it can be billed. Those can be: /v1/agents, "):
        check_listed("p", "anthropic", [path])


@pytest.mark.parametrize(
    ("path", "cost"),
    [
        ("files", Cost.FREE),
        ("files/f_1", Cost.FREE),
        ("files/f_1/content", Cost.FREE),
        ("skills/s/versions/7/content", Cost.FREE),
        ("environments/e/archive", Cost.FREE),
        ("agents/a/run", Cost.UNKNOWN),
        ("agents/a/versions/1/run", Cost.UNKNOWN),
        ("sessions/s/events", Cost.BILLED),
        ("tunnels", Cost.ACCOUNT),
        ("images", Cost.UNKNOWN),
    ],
)
def test_a_path_is_free_word_by_word(path: str, cost: Cost) -> None:
    """What may come below a free path tomorrow is not free by that."""
    assert cost is cost_of(path.split("/"), "anthropic")
