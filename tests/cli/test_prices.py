"""`tokenpool prices`: own prices set at the command line, and a wrong price put right."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from builders import aurora
from past import CHEAPER, DOLLAR, MILLION, MODEL, Past, october
from tokenpool.cli import contracts, rerating
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.metering.models import UsageEvent
from tokenpool.pricing import load

from .test_commands import begin, tokenpool

TODAY = datetime.now(UTC).date()


def contract(folder: Path, verb: str, *words: str) -> tuple[int, Any]:
    """Run `tokenpool prices contract …` and return its exit code and JSON, or its error."""
    done = tokenpool("prices", "contract", verb, *words, "--data", str(folder / "data"), "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_own_prices_are_set_ended_and_listed(tmp_path: Path) -> None:
    """A discount for all, a contract for one model, its end; every row with who and why; verify is clean."""
    begin(tmp_path)
    common = ("--from", str(TODAY), "--reason", "Contract 7", "--by", "Olga")

    codes = [
        contract(tmp_path, "set", *common, "--percent", "-15")[0],
        contract(tmp_path, "set", *common, "--model", MODEL, "--price", "output=18", "--price", "fast.output=30")[0],
        contract(tmp_path, "end", *common, "--model", MODEL)[0],
    ]
    _, listed = contract(tmp_path, "list")
    verified = tokenpool("verify", "--data", str(tmp_path / "data"), "--json")

    assert [0, 0, 0] == codes
    assert [
        (f"model:{MODEL}", 0, {}, True), (f"model:{MODEL}", 0, {"output": "18.00", "fast.output": "30.00"}, False),
        ("all", -150_000, {}, False),
    ] == [(row["scope"], row["ppm"], row["prices"], row["ended"]) for row in listed]  # fmt: skip
    assert {("Olga", "Contract 7", str(TODAY))} == {
        (row["set_by"], row["reason"], row["effective_from"]) for row in listed
    }
    assert {True} == {one["holds"] for one in json.loads(verified.stdout)}


def test_what_cannot_be_set_is_one_line_and_no_row(tmp_path: Path) -> None:
    """Exit code 2; the remedy is named; `--yes` is what it says."""
    begin(tmp_path)
    common = ("--from", str(TODAY), "--reason", "x")
    said = {
        ("--percent", "-15%"): "percent: “-15%” is not a percentage",
        ("--percent", "-60"): "moves by -60 %; confirm it if it is meant so. (--yes)",
        ("--model", "gpt"): "model: “gpt” has no price",
        ("--model", MODEL, "--price", "output"): "--price: “output” must be COMPONENT=DOLLARS",
        ("--model", MODEL, "--price", "output=1", "--price", "output=2"): "each component once",
        ("--provider", "nobody"): "provider: there is no “nobody”",
        ("--organization", "Borealis"): "--organization: name one of Aurora",
    }
    for words, sentence in said.items():
        code, error = contract(tmp_path, "set", *common, *words)
        assert (2, 1, True) == (code, len(error.splitlines()), sentence in error), error
    past = contract(tmp_path, "set", "--from", "2026-01-01", "--reason", "x", "--percent", "-1")

    assert (2, True) == (past[0], "2026-01-01 is past and would re-price nothing" in past[1])
    assert (0, []) == contract(tmp_path, "list")
    assert 0 == contract(tmp_path, "set", *common, "--percent", "-60", "--yes")[0]
    assert 0 == contract(tmp_path, "set", "--from", "2026-01-01", "--reason", "x", "--in-the-past")[0]


@pytest.fixture
def past(database: Path) -> Past:
    """Return an organization that exists since September."""
    with clock.standing_at(datetime(2026, 9, 1, tzinfo=UTC)):
        return Past(aurora(), database)


async def test_a_wrong_price_is_put_right_once(
    past: Past, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run says what would be; the run does it; the next one finds nothing; each in words and in JSON."""
    await past.spend((past.org.farid, october(9), MILLION), (past.org.farid, october(10), MILLION))
    monkeypatch.setattr(load, "standard", lambda: CHEAPER)
    facts = {"model": MODEL, "first": date(2026, 10, 1), "last": date(2026, 10, 31), "organization": "", "by": "Olga"}

    def run(**more: bool) -> str:
        rerating.rerate(**facts, **{"dry_run": False, "as_json": False, **more})  # type: ignore[arg-type]
        return capsys.readouterr().out

    dry, count = run(dry_run=True), UsageEvent.objects.count()
    told = json.loads(run(as_json=True))
    again = run()

    assert ("1 of 2 events would be corrected, $-2.00 in all; by invoice: 2026-10 $-2.00" in dry, 2) == (True, count)
    (one,) = told["organizations"]
    assert (2, 1, -2 * DOLLAR, "-2.00") == (
        one["examined"], one["corrected"], one["difference_nano"], one["difference"],
    )  # fmt: skip
    assert "2 events, all at the price that stands" in again


def test_a_name_that_two_organizations_share_is_no_name(database: Path) -> None:
    """The id decides."""
    first, second = aurora(), aurora("Aurora Ltd", "borealis.example")

    with pytest.raises(InvalidInput, match=f"name one of .*{first.organization_id}"):
        contracts.named("Aurora Ltd")
    assert second.organization_id == contracts.named(second.organization_id).id
