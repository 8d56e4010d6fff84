"""Every path of the official SDKs has been looked at; only what is free by itself can be listed."""

import re
from pathlib import Path

import anthropic
import openai
import pytest

from tokenpool.gateway.provider_paths import PATHS, Cost, check_listed
from tokenpool.kernel.errors import InvalidInput

OWN = {"models", "organizations"}  # served here, whatever the provider has


@pytest.mark.parametrize(
    ("sdk", "start", "speaks", "least"), [(anthropic, "/v1/", "anthropic", 14), (openai, "/", "openai", 28)]
)
def test_every_path_of_the_sdk_is_classified(sdk: object, start: str, speaks: str, least: int) -> None:
    """By the first word of its addresses, wherever its resources write one."""
    folder = Path(str(sdk.__file__)).parent / "resources"  # type: ignore[attr-defined]
    sources = [path.read_text() for path in folder.rglob("*.py")]
    words = {word for source in sources for word in re.findall(rf'"{start}([a-z_]{{2,}})[/"?{{]', source)} - {"v"}

    assert set() == words - OWN - PATHS[speaks].keys()
    assert least <= len(words)


@pytest.mark.parametrize("speaks", ["anthropic", "openai"])
def test_only_what_is_free_can_be_listed(speaks: str) -> None:
    """Every other path is refused with the reason, whatever else is listed."""
    for word, cost in PATHS[speaks].items():
        if cost is Cost.FREE:
            assert (word,) == check_listed("p", speaks, [f"/v1/{word}"])
        else:
            with pytest.raises(InvalidInput, match=r"it can be billed|it administers"):
                check_listed("p", speaks, ["/v1/files", f"/v1/{word}"])


@pytest.mark.parametrize(
    "path", ["", "/", "files", "/v1", "/v1/", "/v1/*", "/v1/files/", "/v1/files/..", "/v1/models", "/v1/no", "//v1"]
)  # fmt: skip
def test_what_is_not_known_cannot_be_listed(path: str) -> None:
    """A path that nobody has looked at may be billed tomorrow."""
    with pytest.raises(InvalidInput, match="is not known to be free; /v1/agents, "):
        check_listed("p", "anthropic", [path])
