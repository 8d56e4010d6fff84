"""A request of a message batch on the Requests page: a row like others, marked, and its name in the batch."""

from pathlib import Path

from builders import aurora
from past import MILLION, Past, october
from tokenpool.limits.models import BatchRequest
from tokenpool.metering.models import UsageEvent

from .test_corrections import page


async def test_a_batch_request_is_marked_and_says_its_name(database: Path) -> None:
    """In the list a badge, on its own page the batch and what the client called it; in Italian too."""
    past = Past(aurora(), database)
    farid = past.org.farid
    await past.spend((farid, october(11), MILLION))
    plain = page(farid, "/requests?month=2026-10")
    event = UsageEvent.objects.get()
    UsageEvent.objects.update(batch=True)
    hold_id = "hold_" + event.request_id.removeprefix("req_")
    named = {"batch_id": "msgbatch_1", "custom_id": "summary-17"}
    BatchRequest.objects.create(organization_id=event.organization_id, hold_id=hold_id, **named)

    listed, shown = page(farid, "/requests?month=2026-10"), page(farid, f"/requests/{event.id}", "it")

    assert (0, 1) == (plain.count('<span class="badge">batch</span>'), listed.count('<span class="badge">batch</span>'))
    assert [True, True, True] == [text in shown for text in ("Lotto di messaggi", "msgbatch_1", "summary-17")]
