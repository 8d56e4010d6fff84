"""The table of providers: strict by its path, secrets from files, keys bound to the origin they were given for."""

import json
from pathlib import Path

import pytest

from tokenpool.config import environment
from tokenpool.config.upstreams import KEYS_FILE, UpstreamSettings, bind_keys
from tokenpool.kernel.errors import InvalidInput

TABLE = """
[upstreams.anthropic]
url = "https://api.anthropic.com"
api_key = "sk-ant"
models = ["claude-*"]

[upstreams.openai]
url = "https://api.openai.com/v1"
format = "openai"
api_key_file = "{secret}"
models = ["gpt-*", "o*", "text-embedding-*"]
prices = "openai"

[upstreams.ours]
url = "http://10.1.2.3:8000/v1"
format = "openai"
client_leaves = "cancel"
internal = true
"""


def read(folder: Path, text: str, **variables: str) -> environment.Environment:
    """Read the settings of a data folder with this file in it."""
    (folder / "tokenpool.toml").write_text(text)
    return environment.read({"TOKENPOOL_DATA": str(folder), **variables})


def test_the_table_is_read_in_its_order(tmp_path: Path) -> None:
    """Each with its key, its patterns, and what happens when a client leaves: OpenAI's are read on by default."""
    secret = tmp_path / "openai"
    secret.write_text("sk-openai\n")

    found = read(tmp_path, TABLE.format(secret=secret)).upstreams

    openai = ("gpt-*", "o*", "text-embedding-*")
    assert (
        UpstreamSettings("anthropic", "https://api.anthropic.com", "sk-ant", models=("claude-*",)),
        UpstreamSettings("openai", "https://api.openai.com/v1", "sk-openai", "openai", openai, True, "openai"),
        UpstreamSettings("ours", "http://10.1.2.3:8000/v1", "", "openai", internal=True),
    ) == found


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('keyy = "x"', "upstreams.a.keyy: there is no such setting; there are api_key, api_key_file, client_leaves"),
        ('format = "gemini"', "upstreams.a.format: must be anthropic or openai"),
        ('client_leaves = "wait"', "upstreams.a.client_leaves: must be cancel or drain"),
        ("internal = 1", "upstreams.a.internal: must be true or false"),
        ("models = []", "upstreams.a.models: must be a list of names"),
        ("models = [7]", "upstreams.a.models: must be a list of names"),
        ('api_key_file = "/nowhere"', "upstreams.a.api_key: stands beside api_key_file; keep one"),
        ("prices = 3", "upstreams.a.prices: must be a text"),
        ('pass_through = "/v1/files"', "upstreams.a.pass_through: must be a list of paths like"),
        (
            'pass_through = ["/v1/messages/batches"]',
            "upstreams.a.pass_through: “/v1/messages/batches” cannot be listed: it is not known",
        ),
        (
            'pass_through = ["/v1/files", "/v1/sessions"]',
            "upstreams.a.pass_through: “/v1/sessions” cannot be listed: it can be billed",
        ),
    ],
)
def test_a_mistake_stops_the_start_by_its_path(tmp_path: Path, entry: str, said: str) -> None:
    """The setting and the remedy."""
    text = f'[upstreams.a]\nurl = "https://x.example"\napi_key = "k"\n{entry}\n'

    with pytest.raises(InvalidInput) as refused:
        read(tmp_path, text)

    assert refused.value.message.startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('upstreams = "x"', "upstreams: must be tables"),
        ("[upstreams]", "upstreams: must be tables"),
        ("[upstreams]\na = 7", "upstreams.a: must be a table"),
        ('[upstreams.a]\napi_key = "k"', "upstreams.a.url: must be a text"),
        ('[upstreams.a]\nurl = "https://x.example"', "upstreams.a.api_key: is missing; give api_key or api_key_file"),
        ('[upstreams.a]\nurl = "https://x.example"\napi_key_file = "/nowhere"', "upstreams.a.api_key_file: /nowhere"),
        ("upstreams = [", "tokenpool.toml: "),
    ],
)
def test_a_table_that_is_none_stops_the_start(tmp_path: Path, text: str, said: str) -> None:
    """Also one that says nothing."""
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path, text)

    assert said in refused.value.message


def test_one_provider_of_the_environment_needs_no_file(tmp_path: Path) -> None:
    """Anthropic's format, or OpenAI's by one word more; beside a table there is none."""
    one = {"TOKENPOOL_UPSTREAM_URL": "https://api.openai.com/v1", "TOKENPOOL_UPSTREAM_API_KEY": "k"}

    plain = read(tmp_path, "", **one).upstreams
    openai = read(tmp_path, "", **one, TOKENPOOL_UPSTREAM_FORMAT="openai").upstreams

    assert (UpstreamSettings("default", "https://api.openai.com/v1", "k"),) == plain
    assert (UpstreamSettings("default", "https://api.openai.com/v1", "k", "openai", drains=True),) == openai
    with pytest.raises(InvalidInput, match=r"^upstream_url: the settings file has \[upstreams\] already"):
        read(tmp_path, '[upstreams.a]\nurl = "https://x.example"\napi_key = "k"', **one)
    with pytest.raises(InvalidInput, match="upstream_format: must be anthropic or openai"):
        read(tmp_path, "", **one, TOKENPOOL_UPSTREAM_FORMAT="gemini")


def test_further_paths_pass_where_they_are_listed(tmp_path: Path) -> None:
    """In the file a list, in the environment with commas; by the format of the provider."""
    one = {"TOKENPOOL_UPSTREAM_URL": "https://api.openai.com/v1", "TOKENPOOL_UPSTREAM_API_KEY": "k"}
    table = '[upstreams.a]\nurl = "https://x.example"\napi_key = "k"\npass_through = ["/v1/skills"]'

    listed = read(tmp_path, table).upstreams
    named = read(tmp_path, "", **one, TOKENPOOL_UPSTREAM_PASS_THROUGH="/v1/agents, /v1/files,").upstreams

    assert (("skills",), ("agents", "files")) == (listed[0].passes, named[0].passes)
    with pytest.raises(InvalidInput, match=r"^upstream_pass_through: “/v1/agents” cannot be listed: it can be billed"):
        read(tmp_path, "", **one, TOKENPOOL_UPSTREAM_FORMAT="openai", TOKENPOOL_UPSTREAM_PASS_THROUGH="/v1/agents")


def test_the_file_may_lie_elsewhere_and_its_secrets_too(tmp_path: Path) -> None:
    """TOKENPOOL_CONFIG names it; a name that leads nowhere stops the start."""
    secret, file = tmp_path / "key", tmp_path / "elsewhere.toml"
    secret.write_text("from a file\n")
    file.write_text(f'upstream_url = "https://api.anthropic.com"\nupstream_api_key_file = "{secret}"\n')

    found = environment.read({"TOKENPOOL_DATA": str(tmp_path), "TOKENPOOL_CONFIG": str(file)})

    assert ("from a file", "https://api.anthropic.com") == (found.upstreams[0].api_key, found.upstreams[0].url)
    with pytest.raises(InvalidInput, match="TOKENPOOL_CONFIG: there is no file"):
        environment.read({"TOKENPOOL_DATA": str(tmp_path), "TOKENPOOL_CONFIG": str(tmp_path / "none.toml")})


def test_a_changed_destination_loses_its_key(tmp_path: Path) -> None:
    """The same key for another host, scheme or port is refused, whatever the entry is called; another key is taken."""

    def bind(url: str, key: str, name: str = "openai") -> None:
        bind_keys((UpstreamSettings(name, url, key),), folder=tmp_path, secret="s")

    bind("https://api.openai.com/v1", "sk-1")
    bind("https://api.openai.com/v2", "sk-1")

    for url in ("https://evil.example/v1", "http://api.openai.com/v1", "https://api.openai.com:8443/v1"):
        with pytest.raises(InvalidInput) as refused:
            bind(url, "sk-1", "renamed")
        assert "upstreams.renamed.url" == refused.value.field
    bind("https://evil.example/v1", "sk-2")
    with pytest.raises(InvalidInput):
        bind("https://api.openai.com/v1", "sk-2")


def test_what_is_remembered_tells_no_key(tmp_path: Path) -> None:
    """A keyed hash beside the origin, for its owner's eyes; loopback is no destination; removing the line forgets."""
    here = UpstreamSettings("demo", "http://127.0.0.1:8787/simulated-provider", "sk-1")
    bind_keys((here, UpstreamSettings("a", "https://a.example", "sk-1")), folder=tmp_path, secret="s")
    path = tmp_path / KEYS_FILE

    known = json.loads(path.read_text())

    assert (["https://a.example:443"], 0o600) == (list(known.values()), path.stat().st_mode & 0o777)
    assert "sk-1" not in path.read_text()
    path.write_text("{}")
    bind_keys((UpstreamSettings("a", "https://b.example", "sk-1"),), folder=tmp_path, secret="s")
