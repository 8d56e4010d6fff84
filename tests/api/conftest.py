"""A program with a key of each kind, calling the API as programs do."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from builders import Aurora, aurora
from tokenpool.organizations import api_keys


class Machine:
    """A program with an admin key."""

    def __init__(self, org: Aurora) -> None:
        self.org = org
        self.keys = {
            kind: api_keys.mint(by=org.ada, kind=kind, name=kind)[1] for kind in ("admin", "meter", "compliance")
        }
        self.keys["product"] = org.key(org.elena, "claude_code")

    def call(self, method: str, path: str, body: object = None, *, kind: str = "admin", **headers: str) -> Any:
        """Call and return (status, body)."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        sent = {"x-api-key": self.keys.get(kind, kind), **headers}
        answer = Client(headers=sent).generic(method, f"/v1/{path}", data, content_type="application/json")
        assert answer["request-id"].startswith("req_")
        return answer.status_code, json.loads(answer.content) if "json" in answer["content-type"] else answer.content


@pytest.fixture
def machine(database: Path) -> Machine:
    """Return a program of the usual organization."""
    return Machine(aurora())
