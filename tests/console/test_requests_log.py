"""A request of a message batch on the Requests page: a row like others, marked, and its name in the batch."""

import csv
import io
import json
from pathlib import Path

from django.test import Client

from builders import aurora
from past import LISTED, MILLION, MODEL, NOVEMBER, Past, october
from tokenpool.invoicing import late
from tokenpool.kernel import ids
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.models import BatchRequest
from tokenpool.limits.operations import Settle
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.record import RatedUsage
from tokenpool.organizations import api_keys
from tokenpool.pricing.cost import rate

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


async def test_the_file_and_the_api_say_the_batch(database: Path) -> None:
    """Of two requests one is of a batch: its columns in the CSV and its fields in the API, a formula defused."""
    past = Past(aurora(), database)
    await past.spend((past.org.farid, october(11), MILLION), (past.org.farid, october(12), MILLION))
    single, batched = UsageEvent.objects.order_by("admitted_at_us")
    named = {"hold_id": ids.twin("hold", batched.request_id), "batch_id": "msgbatch_1", "custom_id": "-1"}
    BatchRequest.objects.create(organization_id=batched.organization_id, **named)
    _, key = api_keys.mint(by=past.org.ada, kind="admin", name="Script")

    rows = list(csv.DictReader(io.StringIO(page(past.org.farid, "/requests?month=2026-10&format=csv"))))
    asked = [f"usage/events?member={past.org.farid.member_id}", f"usage/events/{batched.id}"]
    listed, one = (
        json.loads(Client().get(f"/v1/tokenpool/{path}", headers={"x-api-key": key}).content) for path in asked
    )

    assert [("msgbatch_1", "'-1"), ("", "")] == [(row["batch_id"], row["custom_id"]) for row in rows]
    assert [("msgbatch_1", "-1"), (None, None)] == [(row["batch_id"], row["custom_id"]) for row in listed["data"]]
    assert ("msgbatch_1", single.id) == (one["batch_id"], listed["data"][1]["id"])


async def test_an_estimate_that_was_taken_back_leads_to_the_truth(database: Path) -> None:
    """$20 estimated, $8 used: the estimate, what takes it back and the truth lead to each other; in Italian too."""
    past = Past(aurora(), database)
    farid = past.org.farid
    await past.spend((farid, october(11), MILLION))
    estimate, counts = UsageEvent.objects.get(), TokenCounts(output=400_000)
    usage = RatedUsage(MODEL, LISTED.version, counts, rate(counts, LISTED))
    late.bill(estimate.organization_id, "b", [Settle(ids.twin("hold", estimate.request_id), (usage,), NOVEMBER)])

    first, taken, true = (page(farid, f"/requests/{estimate.id}{end}") for end in ("", "~1", ".1"))
    italian = page(farid, f"/requests/{estimate.id}", "it")

    links = [f'href="/requests/{estimate.id}{end}"' for end in ("~1", ".1")]
    assert [True, True, True] == [text in first for text in (*links, "This was an estimate")]
    assert [True, True] == [f'href="/requests/{estimate.id}"' in text for text in (taken, true)]
    assert "Era una stima" in italian
    assert ("An estimate taken back" in taken, "told this usage late" in true) == (True, True)
    assert (">$8.00<" in true, ">-$20.00<" in taken) == (True, True)
