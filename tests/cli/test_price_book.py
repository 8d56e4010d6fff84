"""`tokenpool prices`, run as an operator runs it."""

import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from installation import CLEAN, COMMAND

RUN = [*COMMAND, "prices"]
OPUS = {
    "litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
}  # fmt: skip


def prices(folder: Path, *words: str, answers: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command; with *answers* in a terminal."""
    command = [*RUN, *words, "--data", str(folder)]
    if answers is None:
        return subprocess.run(command, capture_output=True, text=True, env=CLEAN, stdin=subprocess.DEVNULL, check=False)
    keyboard, terminal = os.openpty()
    os.write(keyboard, answers.encode())
    try:
        return subprocess.run(command, capture_output=True, text=True, env=CLEAN, stdin=terminal, check=False)
    finally:
        os.close(keyboard)
        os.close(terminal)


def litellm(folder: Path, **models: dict[str, Any]) -> str:
    """Write a list in LiteLLM's form; return its path."""
    path = folder / "list.json"
    path.write_text(json.dumps(models))
    return str(path)


def audited(folder: Path) -> list[tuple[str, str, Any, Any]]:
    """Return the audit's events of prices: actor, model, before, after."""
    with sqlite3.connect(folder / "tokenpool.sqlite3") as database:
        rows = database.execute(
            "select actor_name, subject_id, before, after from audit_auditevent where action = 'list_price_added'"
        ).fetchall()
    return [(row[0], row[1], json.loads(row[2] or "null"), json.loads(row[3])) for row in rows]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with an organization; the tests use models of their own."""
    folder = tmp_path_factory.mktemp("prices")
    (folder / "password").write_text("quiet exact fast 26\n")
    data = folder / "data"
    subprocess.run(
        [*RUN[:-1], "init", "--organization", "Aurora", "--owner-email", "ada@aurora.example",
         "--owner-password-file", str(folder / "password"), "--data", str(data)],
        env=CLEAN, check=True, capture_output=True,
    )  # fmt: skip
    return data


def test_show_tells_a_models_versions_and_a_days_prices(installation: Path) -> None:
    """Both versions of Sonnet 5.5; on one day one of them, exact in nano-dollars."""
    table = prices(installation, "show", "claude-sonnet-5-5")
    one = json.loads(prices(installation, "show", "claude-sonnet-5-5", "--on", "2026-10-06", "--json").stdout)
    groq = json.loads(prices(installation, "show", "--provider", "groq", "--on", "2026-11-24", "--json").stdout)

    assert [line.split()[::5] for line in table.stdout.splitlines() if "@" in line] == [
        ["claude-sonnet-5-5@2026-09-28", "0.20"], ["claude-sonnet-5-5@2026-10-07", "0.10"],
    ]  # fmt: skip
    assert ("claude-sonnet-5-5@2026-09-28", 200_000_000) == (
        one[0]["version"], one[0]["standard"][0]["cache_read_nano_per_mtok"],
    )  # fmt: skip
    assert (33, {"groq"}) == (len(groq), {price["provider"] for price in groq})


def test_compare_with_the_installed_list_tells_what_agrees_and_what_does_not(installation: Path) -> None:
    """315 models agree; of Sonnet 4.5 the list still has the band that ended with April."""
    found = json.loads(prices(installation, "compare", "--on", "2026-11-24", "--json").stdout)["genai-0.2.3"]
    told = prices(installation, "compare", "--on", "2026-11-24")

    assert (315, {"claude-sonnet-4-5"}) == (found["agreeing_models"], {one["model"] for one in found["differences"]})
    assert {200_000} == {one["above_prompt_tokens"] for one in found["differences"]}
    assert "input above 200,000: 3 here, 6 there  (more than half)" in told.stdout
    assert 0 == told.returncode


def test_apply_takes_over_what_was_confirmed_and_audits_it(installation: Path, tmp_path: Path) -> None:
    """The refused one stays; the other is in the file, in the book, and in the organization's audit."""
    wanted = litellm(tmp_path, **{"claude-opus-5-5": OPUS, "claude-opus-5": OPUS})

    done = prices(installation, "apply", "--litellm", wanted, "--from", "2027-03-01", answers="y\nn\n")

    assert (0, "1 of 2 changes taken over from 2027-03-01.") == (done.returncode, done.stdout.splitlines()[-2][-42:])
    (row,) = [line for line in (installation / "prices" / "anthropic.yaml").read_text().splitlines() if line[:1] == "-"]
    assert (
        '- {model: claude-opus-5-5, from: 2027-03-01, price: ["3", "15", "5", "8", "0.20"], grade: C, source: litellm}'
        == row
    )
    assert [
        (
            "tokenpool prices apply", "claude-opus-5-5",
            {"version": "claude-opus-5-5@2026-09-22", "rows": '["4", "20", "5", "8", "0.20"]'},
            {"from": "2027-03-01", "source": "litellm", "rows": '["3", "15", "5", "8", "0.20"]'},
        )
    ] == audited(installation)  # fmt: skip
    shown = json.loads(prices(installation, "show", "claude-opus-5-5", "--on", "2027-03-01", "--json").stdout)
    assert "claude-opus-5-5@2027-03-01+operator" == shown[0]["version"]


def test_a_large_change_is_asked_twice(installation: Path, tmp_path: Path) -> None:
    """Yes and no is no; without a terminal it needs its own flag, and is named."""
    wanted = litellm(tmp_path, **{"claude-haiku-4-5": {**OPUS, "input_cost_per_token": 1.6e-06}})
    words = ("apply", "--litellm", wanted, "--from", "2027-03-01")

    twice = prices(installation, *words, answers="y\nn\n")
    flagless = prices(installation, *words, "--yes")
    flagged = prices(installation, *words, "--yes", "--beyond-50-percent", "--json")

    assert "Really take it over?" in twice.stdout
    assert "0 of 1 changes taken over" in twice.stdout
    assert (2, "claude-haiku-4-5: a figure moves by more than half") == (flagless.returncode, flagless.stderr[11:61])
    assert [{"model": "claude-haiku-4-5", "from": "2027-03-01"}] == json.loads(flagged.stdout)["taken"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("apply",), "Nobody is there to confirm"),
        (("apply", "--genai", "GENAI", "--litellm", "LITELLM", "--yes"), "one list at a time"),
        (("apply", "claude-nothing", "--yes"), "claude-nothing: the list says nothing else of it"),
        (("apply", "deepseek-flash", "--yes"), "deepseek-flash: the list says nothing else of it that could be taken"),
        (("apply", "--from", "soon"), "from: must be a day"),
        (("compare", "--on", "2026-13-01"), "on: must be a day"),
        (("compare", "--genai", "/nowhere.json"), "nowhere.json: cannot be read"),
        (("compare", "--litellm", "LITELLM"), None),
        (("show", "claude-opus-55"), "the nearest known are claude-opus-5-5"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    installation: Path, tmp_path: Path, words: tuple[str, ...], said: str | None
) -> None:
    """Nobody to ask, two lists, unknown models, days and files that are none."""
    genai = tmp_path / "genai.json"
    genai.write_text("[]")
    paths = {"GENAI": str(genai), "LITELLM": litellm(tmp_path, **{"claude-opus-5": OPUS})}
    before = audited(installation)

    done = prices(installation, *(paths.get(word, word) for word in words))

    assert (2 if said else 0) == done.returncode
    assert (said or "") in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert before == audited(installation)


def test_a_price_file_with_a_mistake_stops_every_command_by_its_line(tmp_path: Path) -> None:
    """Nothing is billed at other prices than the operator's."""
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "mine.yaml").write_text("provider: anthropic\nrows: [\n")

    done = prices(tmp_path, "show")

    assert (2, True) == (done.returncode, done.stderr.startswith("tokenpool: mine.yaml, line 3: "))
