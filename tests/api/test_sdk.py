"""The official SDK sets and lists spend limits with its base URL changed alone."""

import asyncio
from pathlib import Path

import anthropic
import pytest
from django.core.asgi import get_asgi_application

from builders import aurora
from gateway_server import serving
from tokenpool.organizations import api_keys


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_sdk_sets_lists_and_deletes_a_limit(database: Path) -> None:
    """Scope user, a thousand cents, monthly."""
    org = aurora()
    _, secret = api_keys.mint(by=org.ada, kind="admin", name="SDK")

    def talk(url: str) -> tuple[str | None, list[str], str]:
        with anthropic.Anthropic(base_url=url, api_key=secret) as client:
            limits = client.beta.organization.spend_limits
            row = limits.set(amount="1000", scope={"type": "user", "user_id": org.farid.member_id}, period="monthly")
            listed = [one.id for one in limits.list()]
            gone = limits.delete(row.id)
        return row.amount, listed, gone.type

    async with serving(get_asgi_application()) as url:
        amount, listed, gone = await asyncio.to_thread(talk, url)

    assert ("1000", 1, "spend_limit_deleted") == (amount, len(listed), gone)
