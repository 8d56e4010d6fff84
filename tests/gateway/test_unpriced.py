"""A model without a price is refused, and told to the owners and the operator: once, and never in the way."""

import asyncio
import logging

import pytest
from django.core import mail
from django.test import override_settings

from tokenpool.gateway import unpriced
from tokenpool.metering.models import UsageEvent
from tokenpool.notifications.models import Notice
from tokenpool.organizations import api_keys

from .conftest import USAGE, Gate


async def told(gate: Gate) -> list[Notice]:
    """Wait until no work is under way and return the notices."""
    while gate.parts.tasks:
        await asyncio.gather(*gate.parts.tasks, return_exceptions=True)
    return list(Notice.objects.filter(kind="unknown_model").order_by("created_at_us"))


async def test_it_is_told_once_per_model(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """Three refusals of two models are two notices and two lines, with the nearest known names."""
    with caplog.at_level(logging.WARNING, "tokenpool.prices"):
        statuses = [(await gate.post({"model": name})).status for name in ("claude-opus-55", "gpt-6", "claude-opus-55")]
        notices = await told(gate)

    assert [400, 400, 400] == statuses
    assert ["unknown_model:claude-opus-55", "unknown_model:gpt-6"] == [notice.key for notice in notices]
    assert (
        "Aurora Ltd asked for claude-opus-55, which has no price; the nearest known are claude-opus-5-5" in caplog.text
    )
    assert 2 == len(caplog.messages)


async def test_another_process_tells_nothing_new(gate: Gate) -> None:
    """What is told is in the database, not in a memory."""
    await gate.post({"model": "claude-opus-55"})
    await told(gate)
    gate.parts.unpriced.clear()
    await gate.post({"model": "claude-opus-55"})

    assert 1 == len(await told(gate))


async def test_inventing_names_is_no_way_to_fill_a_mailbox(gate: Gate) -> None:
    """Seventy names are ten notices, and the process remembers fifty of them."""
    for number in range(70):
        await gate.post({"model": f"model-{number}\n\x00<b>{'x' * 100}"})
    notices = await told(gate)

    assert 10 == len(notices)
    assert 50 == len(gate.parts.unpriced[gate.org.organization_id])
    assert {len("unknown_model:") + 78} == {len(notice.key) for notice in notices}


async def test_the_hold_api_tells_too(gate: Gate) -> None:
    """A meter key's product asks for a model nobody has priced."""
    key = api_keys.mint(by=gate.org.ada, kind="meter", name="Meter")[1]
    body = {
        "member": "elena@aurora.example",
        "product": "claude_code",
        "model": "nova-9",
        "max_tokens": 1,
        "input_tokens_bound": 1,
    }
    async with gate.session.post(f"{gate.url}/v1/tokenpool/holds", json=body, headers={"x-api-key": key}) as answer:
        assert 400 == answer.status

    assert ["unknown_model:nova-9"] == [notice.key for notice in await told(gate)]


async def test_a_model_that_answered_beside_the_one_asked_for_is_told_and_billed(gate: Gate) -> None:
    """An advisor without a price costs what the requested model costs, flagged; the owners hear of it."""
    advisor = {"type": "advisor_message", "model": "claude-sage-1", "input_tokens": 100, "output_tokens": 10}
    gate.provider.answers({**USAGE, "iterations": [{"type": "message"}, advisor]})

    assert 200 == (await gate.post()).status

    assert ["unknown_model:claude-sage-1"] == [notice.key for notice in await told(gate)]
    assert ["unpriced_model"] * 2 == list(UsageEvent.objects.values_list("flags", flat=True))


async def test_the_operator_has_mail_where_an_address_is_set(gate: Gate) -> None:
    """TOKENPOOL_OPERATOR_EMAIL hears of it beside the log."""
    memory = "django.core.mail.backends.locmem.EmailBackend"
    with override_settings(EMAIL_BACKEND=memory, ADMINS=[("Operator", "operator@aurora.example")]):
        mail.outbox = []
        await gate.post({"model": "claude-opus-55"})
        await told(gate)

        (message,) = mail.outbox
        assert (["operator@aurora.example"], "[Tokenpool] A model has no price") == (message.to, message.subject)
        assert "claude-opus-55" in message.body


def test_what_is_kept_of_an_organization_is_bounded() -> None:
    """A key of a notice has room for the longest name."""
    assert len("unknown_model:") + unpriced.LONGEST <= Notice._meta.get_field("key").max_length
