"""The courier: the right people, once, in their language, with retries that end."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core import mail
from django.test import override_settings

from builders import DOLLAR, Aurora, aurora
from tokenpool.kernel import clock
from tokenpool.notifications import bell
from tokenpool.notifications.models import Delivery, Notice
from tokenpool.notifications.outbox import MOST_ATTEMPTS, Courier, raise_notice
from tokenpool.organizations import groups
from tokenpool.organizations.models import Member, Person

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MEMORY = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def org(database: Path) -> Iterator[Aurora]:
    """Return the usual organization with mail kept in memory and the clock standing."""
    with override_settings(EMAIL_BACKEND=MEMORY), clock.standing_at(NOW):
        mail.outbox = []
        yield aurora()


def reach(org: Aurora, percent: int = 90, **more: object) -> None:
    """Write a notice as the ledger does."""
    facts = {
        "percent": percent, "scope": "seat_type:chat", "basis": "each", "window": "month", "window_key": "2026-11",
        "limit_nano": 12 * DOLLAR, "spent_nano": 11 * DOLLAR, "refused": False, **more,
    }  # fmt: skip
    raise_notice(
        organization_id=org.organization_id, key=f"spl_1:x:2026-11:{percent}", kind="limit_threshold",
        facts=facts, member_id=org.farid.member_id,
    )  # fmt: skip


def test_the_member_and_the_owners_hear_once(org: Aurora) -> None:
    """Bell and mail for Ada, Bruno and Farid; nobody else; a second round sends nothing."""
    reach(org)
    reach(org)

    rounds = [Courier().deliver(), Courier().deliver()]

    assert [3, 0] == rounds
    assert ["ada@aurora.example", "bruno@aurora.example", "farid@aurora.example"] == sorted(
        m.to[0] for m in mail.outbox
    )
    told = bell.for_person(_person(org.farid.member_id), org.organization_id)
    assert ["90 % of a spend limit used: Farid Haddad (Chat, each member)"] == [one.subject for one in told]
    assert "$11.00 of $12.00 is spent" in told[0].sentence


def test_a_groups_limit_is_told_by_the_groups_name(org: Aurora) -> None:
    """A pool's to the owners, one for each member to that member too; a deleted group keeps its name."""
    group = groups.create(by=org.ada, name="Research")
    reach(org, scope=f"group:{group.id}")
    reach(org, 75, scope=f"group:{group.id}", basis="pool")
    Notice.objects.filter(key__endswith=":75").update(member_id="")
    Person.objects.filter(email="bruno@aurora.example").update(language="it")
    groups.delete(by=org.ada, group_id=group.id)

    Courier().deliver()

    told = {(message.to[0].partition("@")[0], message.subject.partition("] ")[2]) for message in mail.outbox}
    assert {
        ("ada", "90 % of a spend limit used: Farid Haddad (group Research, each member)"),
        ("farid", "90 % of a spend limit used: Farid Haddad (group Research, each member)"),
        ("bruno", "Usato il 90 % di un limite di spesa: Farid Haddad (gruppo Research, ogni membro)"),
        ("ada", "75 % of a spend limit used: group Research, all together"),
        ("bruno", "Usato il 75 % di un limite di spesa: gruppo Research, tutti insieme"),
    } == told


def test_a_model_without_a_price_is_told_to_the_owners(org: Aurora) -> None:
    """Ada in English, Bruno in Italian, both with the nearest known names."""
    Person.objects.filter(email="bruno@aurora.example").update(language="it")
    facts = {"model": "claude-opus-55", "nearest": ["claude-opus-5-5", "claude-opus-5"]}
    raise_notice(organization_id=org.organization_id, key="unknown_model:x", kind="unknown_model", facts=facts)

    Courier().deliver()

    told = {message.to[0]: (message.subject, message.body) for message in mail.outbox}
    assert {"ada@aurora.example", "bruno@aurora.example"} == set(told)
    assert "[Aurora Ltd] A model has no price: claude-opus-55" == told["ada@aurora.example"][0]
    assert "[Aurora Ltd] Un modello non ha prezzo: claude-opus-55" == told["bruno@aurora.example"][0]
    assert all("claude-opus-5-5, claude-opus-5" in body for _, body in told.values())


def test_mail_is_in_the_language_of_its_reader(org: Aurora) -> None:
    """Bruno reads Italian, with Italian amounts."""
    Person.objects.filter(email="bruno@aurora.example").update(language="it")
    reach(org)

    Courier().deliver()

    bruno = next(m for m in mail.outbox if m.to == ["bruno@aurora.example"])
    assert "[Aurora Ltd] Usato il 90 % di un limite di spesa: Farid Haddad (Chat, ogni membro)" == bruno.subject
    assert "spesi 11,00 $ su 12,00 $" in bruno.body


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("month", "Requests go on when the month begins anew or an owner raises the limit."),
        ("week", "Requests go on when the week begins anew on Monday or an owner raises the limit."),
        ("day", "Requests go on at midnight UTC or when an owner raises the limit."),
    ],
)
def test_a_reached_limit_says_when_its_window_begins_anew(org: Aurora, window: str, said: str) -> None:
    """Months, weeks and days each by their own word."""
    reach(org, 100, window=window)

    Courier().deliver()

    assert all(said in message.body for message in mail.outbox if message.to == ["ada@aurora.example"])
    assert 1 == sum(message.to == ["ada@aurora.example"] for message in mail.outbox)


def test_a_silent_notice_is_addressed_to_nobody(org: Aurora) -> None:
    """It only keeps its threshold from firing later."""
    reach(org, 75)
    Notice.objects.update(silent=True)

    assert (0, 0) == (Courier().deliver(), Delivery.objects.count())


def test_a_name_cannot_inject_a_header(org: Aurora) -> None:
    """Line breaks do not reach the subject."""
    Member.objects.filter(id=org.farid.member_id).update(name="Farid\nBcc: x@evil.example")
    reach(org)

    Courier().deliver()

    assert all("\n" not in message.subject for message in mail.outbox)
    assert 3 == len(mail.outbox)


def test_a_broken_mailbox_is_tried_again_with_growing_pauses_and_stops_nobody(
    org: Aurora, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 s, 60 s, …, an hour; after twelve attempts it has failed and says why."""
    from tokenpool.notifications import outbox  # noqa: PLC0415

    real = outbox._mail

    def mail_or_fail(delivery: Delivery) -> object:
        message = real(delivery)
        if message.to == ["bruno@aurora.example"]:
            raise ConnectionRefusedError("mailbox away")
        return message

    monkeypatch.setattr(outbox, "_mail", mail_or_fail)
    reach(org)
    assert 2 == Courier().deliver()
    pauses, at = [], NOW
    for _ in range(MOST_ATTEMPTS - 1):
        row = Delivery.objects.get(channel="email", state="waiting")
        assert row.next_attempt_at is not None
        pauses.append(row.next_attempt_at - at)
        at = row.next_attempt_at
        with clock.standing_at(at):
            Courier().deliver()

    row = Delivery.objects.get(channel="email", attempts=MOST_ATTEMPTS)
    assert ("failed", "ConnectionRefusedError: mailbox away") == (row.state, row.error)
    assert [timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=120)] == pauses[:3]
    assert timedelta(hours=1) == max(pauses)


def test_of_two_couriers_one_sends(org: Aurora) -> None:
    """Both have read the same delivery as due; the claim decides; one that died is relieved in five minutes."""
    from tokenpool.notifications import outbox  # noqa: PLC0415

    reach(org)
    outbox.address(Notice.objects.get())
    due = list(Delivery.objects.filter(channel="email"))

    assert [True] * 3 + [False] * 3 == [outbox._send(one) for one in due + due]
    assert 3 == len(mail.outbox)

    Delivery.objects.filter(channel="email").update(state="waiting", next_attempt_at=NOW + outbox.CLAIM)
    with clock.standing_at(NOW + outbox.CLAIM):
        assert 3 == Courier().deliver()
    ids = [message.extra_headers["Message-ID"] for message in mail.outbox]
    assert (ids[:3], 3) == (ids[3:], len(set(ids)))


def _person(member_id: str) -> str:
    return Member.objects.get(id=member_id).person_id
