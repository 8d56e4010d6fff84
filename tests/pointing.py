"""Where Django's connection points in a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connections


@contextmanager
def pointing_at_file(path: Path) -> Iterator[None]:
    """Point Django at a SQLite file within the block."""
    connections["default"].close()
    before = connections["default"].settings_dict["NAME"]
    connections["default"].settings_dict["NAME"] = str(path)
    yield
    connections["default"].close()
    connections["default"].settings_dict["NAME"] = before
