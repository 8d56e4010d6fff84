"""The directory: facts are cached and never staler than the gate's version."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders import Aurora, aurora
from tokenpool.kernel.errors import NotAuthenticated
from tokenpool.kernel.sqlite import SqliteStore
from tokenpool.organizations import api_keys, members, seats
from tokenpool.organizations.directory import Directory
from tokenpool.organizations.models import ApiKey


@pytest.fixture
async def directory(database: Path) -> AsyncIterator[Directory]:
    """Return a directory over the test's database."""
    store = SqliteStore(database)
    yield Directory(store)
    await store.close()


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return the usual organization."""
    return aurora()


async def test_a_key_leads_to_its_member_and_seat(directory: Directory, org: Aurora) -> None:
    """And to whom to ask."""
    facts = await directory.find(org.key(org.elena, "claude_code"))

    assert (org.elena.member_id, "chat_claude_code", "Chat + Claude Code", True, "Ada Rossi (ada@aurora.example)") == (
        facts.member_id,
        facts.seat_type,
        facts.seat_type_name,
        facts.entitled,
        facts.ask,
    )


async def test_losing_the_seat_type_acts_on_the_next_look(directory: Directory, org: Aurora) -> None:
    """Cached facts do not outlive the change."""
    secret = org.key(org.elena, "claude_code")
    await directory.find(secret)

    seats.assign(by=org.ada, member_id=org.elena.member_id, seat_type="chat")

    assert (False, "Chat") == ((await directory.find(secret)).entitled, (await directory.find(secret)).seat_type_name)


async def test_revoked_removed_and_unknown_keys_are_the_same_nothing(directory: Directory, org: Aurora) -> None:
    """No difference to learn from."""
    revoked, removed = org.key(org.farid, "chat"), org.key(org.giulia, "chat")
    assert await directory.find(revoked)
    assert await directory.find(removed)
    api_keys.revoke(by=org.ada, key_id=ApiKey.objects.get(key_hash=api_keys.hash_key(revoked)).id)
    members.remove(by=org.ada, member_id=org.giulia.member_id)

    for secret in (revoked, removed, "tp-chat-" + "a" * 43, "sk-ant-api03-nonsense", ""):
        with pytest.raises(NotAuthenticated, match="not known here or was revoked"):
            await directory.find(secret)


def test_no_column_of_the_database_is_a_key(org: Aurora) -> None:
    """A stolen table authenticates nobody."""
    secret = org.key(org.farid, "chat")
    row = ApiKey.objects.filter(product="chat").values().get()

    assert secret not in [str(value) for value in row.values()]
    assert not any(api_keys.looks_like_key(str(value)) for value in row.values())


def test_a_key_needs_a_seat_type_that_opens_its_product(org: Aurora) -> None:
    """Said when it is made, not when it is used."""
    from tokenpool.kernel.errors import InvalidInput  # noqa: PLC0415

    with pytest.raises(InvalidInput, match="Farid Haddad has the seat type Chat, which does not open claude_code"):
        org.key(org.farid, "claude_code")
