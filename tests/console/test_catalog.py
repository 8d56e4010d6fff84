"""The Italian catalog: complete, and with the same placeholders as the English."""

import re
import sys
from pathlib import Path

from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import catalogs  # noqa: E402


def test_every_sentence_has_its_italian() -> None:
    """Templates and modules say nothing that the catalog does not."""
    with catalogs.ITALIAN.open("rb") as source:
        known = read_po(source, locale="it")
    lacking = []
    for _file, _line, message in catalogs.messages():
        entry = known.get(message[0] if isinstance(message, tuple) else message)
        if entry is None or not all(catalogs._forms(entry.string)):
            lacking.append(message)

    assert [] == lacking


def test_placeholders_are_kept() -> None:
    """A figure that is lost in translation is a wrong page."""
    with catalogs.ITALIAN.open("rb") as source:
        for entry in read_po(source, locale="it"):
            if entry.id:
                for english, italian in zip(_texts(entry.id), _texts(entry.string), strict=True):
                    assert sorted(re.findall(r"%\(\w+\)s|%%", english)) == sorted(re.findall(r"%\(\w+\)s|%%", italian))


def _texts(message: object) -> tuple[str, ...]:
    return message if isinstance(message, tuple) else (str(message),)
