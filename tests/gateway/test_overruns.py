"""A request that cost more than its hold: billed in truth, logged, and told in the audit."""

import pytest

from tokenpool.audit.models import AuditEvent
from tokenpool.limits.models import Hold

from .batch_provider import created, speaking_batches, succeeded, watched
from .conftest import Gate


def told() -> list[tuple[str, dict[str, int]]]:
    """Return the audited overruns with their holds."""
    return list(AuditEvent.objects.filter(action="hold_overrun").values_list("subject_id", "after"))


async def test_a_call_above_its_hold(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """A provider writes 10,000 tokens where 100 were asked for: 200,000,000 nano-dollars, all but the hold overrun."""
    gate.provider.answers({"input_tokens": 0, "output_tokens": 10_000})

    await gate.post()

    hold = await gate.at_rest()
    overrun = 200_000_000 - hold.reserved_nano
    assert ((200_000_000, 0), [(hold.id, {"overrun_nano": overrun})]) == (gate.account(), told())
    assert f"hold {hold.id} cost {overrun} nano-dollars more than it held" in caplog.text


async def test_a_request_of_a_batch_above_its_hold(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """The same at half the price."""
    batches = speaking_batches(gate)
    batches.outcomes = [succeeded({"input_tokens": 0, "output_tokens": 10_000, "service_tier": "batch"})]
    await created(gate, 1)
    batches.ended.update(batches.sent)

    await watched(gate)

    await gate.at_rest()
    hold = Hold.objects.get()
    overrun = 100_000_000 - hold.reserved_nano
    assert ((100_000_000, 0), [(hold.id, {"overrun_nano": overrun})]) == (gate.account(), told())
    assert f"hold {hold.id} cost {overrun} nano-dollars more than it held" in caplog.text
