"""A body that Django would put aside is cut off at its limit, whoever sends it and wherever to."""

from collections.abc import MutableMapping
from typing import Any, cast

import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from starlette.types import ASGIApp

from tokenpool.config.form_bodies import MOST_BYTES, FormBodies

MEBIBYTE = 2**20
DJANGO = cast("ASGIApp", get_asgi_application())
Message = MutableMapping[str, Any]


async def sent(app: ASGIApp, path: str, pieces: list[bytes], *headers: tuple[bytes, bytes]) -> tuple[list[int], int]:
    """Send a body in pieces; return the statuses of the answers and how many pieces were asked for."""
    rest, statuses = list(pieces), []

    async def receive() -> Message:
        return {"type": "http.request", "body": rest.pop(0), "more_body": bool(rest)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": list(headers)}
    await app(scope, receive, send)
    return statuses, len(pieces) - len(rest)


@pytest.mark.parametrize("path", ["/oauth/token", "/accounts/login/", "/v1/tokenpool/members", "/nowhere"])
async def test_a_body_of_unknown_length_is_read_to_its_limit(path: str) -> None:
    """A hundred pieces of 1 MiB: after the third 413, once, and no fourth is asked for."""
    app = FormBodies(DJANGO)

    assert ([413], 3) == await sent(app, path, [b"a" * MEBIBYTE] * 100)
    assert 0 == app._bodies._bytes


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    """Django's own limit of 2,621,440 bytes and one more: 413 before the first piece."""
    assert 2_621_440 == MOST_BYTES == settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    app = FormBodies(DJANGO)

    assert ([413], 0) == await sent(app, "/oauth/token", [b""], (b"content-length", b"2621441"))


async def test_all_bodies_together_have_a_limit() -> None:
    """Where 1.5 MiB have room, the second MiB is refused with 503, and nothing stays counted."""
    app = FormBodies(DJANGO, most_at_once=MEBIBYTE + MEBIBYTE // 2)

    assert ([503], 2) == await sent(app, "/oauth/token", [b"a" * MEBIBYTE] * 2)
    assert 0 == app._bodies._bytes
