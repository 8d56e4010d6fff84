"""Looks for what must be nowhere: in logs of any level, on the terminal, in the files of the data folder."""

import logging
from pathlib import Path

import pytest

CANARY = "yellow-canary-7f3a"


def listen(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hear everything that is logged from now on, but what the scripted provider says of itself."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="aiohttp.access")
    caplog.set_level(logging.DEBUG, logger="uvicorn.error")
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)


def places(
    secrets: list[str], folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> list[tuple[str, str]]:
    """Return where one of *secrets* stands, and what stands around it."""
    printed = capfd.readouterr()
    texts = {"output": printed.out + printed.err, "log": caplog.text}
    for number, record in enumerate(caplog.records):
        error = record.exc_info[1] if record.exc_info else ""
        texts[f"record {number}"] = f"{record.getMessage()} {record.exc_text} {record.stack_info} {error}"
    for path in folder.rglob("*"):  # the database, its log, the journal of settlements, mail
        if path.is_file():
            texts[str(path.relative_to(folder))] = path.read_bytes().decode("latin-1")
    return [
        (place, text[max(0, text.find(secret) - 300) : text.find(secret) + 100])
        for place, text in texts.items()
        for secret in (*secrets, CANARY.encode("utf-16-le").decode("latin-1"))
        if secret in text
    ]
