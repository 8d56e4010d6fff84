"""How an installation begins: what is printed."""

import json
import re
from datetime import date
from pathlib import Path

import pytest

from tokenpool.cli import begin
from tokenpool.demo.provider import Provider
from tokenpool.metering.extract import usage_from_message
from tokenpool.pricing import load
from tokenpool.pricing.cost import rate

MEMBER = {"email": "elena.marino@aurora.example", "seat_type": "chat", "key": "tp-chat-x"}
ACCESS = {"url": "http://127.0.0.1:8787", "owner": {"email": "o@aurora.example", "password": "p"}, "members": [MEMBER]}


def test_the_command_that_starts_it_is_the_one_that_began_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found where it was found a moment ago."""
    monkeypatch.setattr("sys.argv", [".venv/bin/tokenpool", "init"])

    told = begin.summary({"organization_id": "org_x", "owner": {"email": "o@aurora.example"}}, tmp_path)

    assert told.endswith(f" .venv/bin/tokenpool serve --data {tmp_path}")


def test_the_line_to_paste_moves_the_figure_by_a_cent(tmp_path: Path) -> None:
    """What the page shows in cents is seen to change with the first request."""
    pasted = re.search(r"v1/messages .*?-d '(\{.*?\})'\n", begin.demo_summary(ACCESS, tmp_path), re.DOTALL)
    assert pasted is not None
    body, book = json.loads(pasted[1]), load.standard()
    message, _ = Provider(book).answer(body)
    used = usage_from_message(message)
    assert used is not None
    price = book.price(body["model"], date(2026, 11, 25))

    assert 10_210_000 == rate(used.parts[0][1], price).total
