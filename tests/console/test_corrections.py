"""Corrections on the pages: the event, what corrects it, and the invoice that adjusts."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import Client

from builders import aurora
from past import CHEAPER, MILLION, NOVEMBER, Past, october
from tokenpool.invoicing.models import Invoice
from tokenpool.kernel import clock
from tokenpool.metering.models import UsageEvent
from tokenpool.notifications import bell, outbox
from tokenpool.organizations import api_keys
from tokenpool.organizations.models import Member, Person
from tokenpool.organizations.roles import Principal
from tokenpool.pricing import load


@pytest.fixture
async def past(database: Path, monkeypatch: pytest.MonkeyPatch) -> Past:
    """Return an organization whose October was closed at a wrong price, corrected, and adjusted in November."""
    with clock.standing_at(datetime(2026, 9, 1, tzinfo=UTC)):
        found = Past(aurora(), database)
    await found.spend((found.org.farid, october(11), MILLION))
    found.close(2026, 10, NOVEMBER)
    with clock.standing_at(NOVEMBER):
        found.rerate(CHEAPER)
    found.close(2026, 11, datetime(2026, 12, 5, tzinfo=UTC))
    monkeypatch.setattr(load, "standard", lambda: CHEAPER)
    return found


def page(who: Principal, address: str, language: str = "en") -> str:
    """Return a page as *who* sees it."""
    client = Client(headers={"accept-language": language})
    client.force_login(Person.objects.get(id=Member.objects.get(id=who.member_id).person_id))
    answer = client.get(address)
    assert 200 == answer.status_code
    return answer.content.decode()


def test_an_event_and_its_correction_lead_to_each_other(past: Past) -> None:
    """$20.00 was billed, $18.00 is right; the member sees it too."""
    original, fix = UsageEvent.objects.order_by("id")

    first, second = (page(past.org.farid, f"/requests/{event.id}") for event in (original, fix))

    assert (True, True) == (f'href="/requests/{fix.id}"' in first, "$18.00" in first)
    assert (True, True) == (f'href="/requests/{original.id}"' in second, "invoice for November 2026" in second)
    assert ">-$2.00<" in second


def test_the_invoice_names_the_correction_and_its_events(past: Past) -> None:
    """In English and Italian; October's invoice is as it was."""
    fix = UsageEvent.objects.exclude(corrects=None).get()
    october_, november = Invoice.objects.order_by("number")

    told = page(past.org.dieter, f"/invoices/{november.id}")

    assert "Correction of October 2026: claude-opus-5-5" in told
    assert f'href="/requests/{fix.id}"' in told
    assert "Rettifica di ottobre 2026" in page(past.org.dieter, f"/invoices/{november.id}", "it")
    assert "Correction of" not in page(past.org.dieter, f"/invoices/{october_.id}")


def test_the_api_names_what_is_corrected_and_where_it_is_billed(past: Past) -> None:
    """The original is billed in its own month."""
    key = api_keys.mint(by=past.org.ada, kind="admin", name="a")[1]
    answer = Client(headers={"x-api-key": key}).get("/v1/tokenpool/usage/events")

    fix, original = json.loads(answer.content)["data"]
    assert (original["id"], "2026-11", "2026-10", ["correction"]) == (
        fix["corrects"], fix["billed_in"], original["billed_in"], fix["flags"],
    )  # fmt: skip
    assert original["corrects"] is None


def test_the_owners_are_told_once(past: Past) -> None:
    """In the bell and by e-mail."""
    outbox.Courier().deliver()

    person = Member.objects.get(id=past.org.ada.member_id).person_id
    told = [one.subject for one in bell.for_person(person, past.org.organization_id)]

    assert 1 == told.count("The price of claude-opus-5-5 was corrected")
