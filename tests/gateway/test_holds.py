"""The hold API: a product holds before its own call and settles after it; every repeat is harmless."""

from typing import Any

import pytest

from tokenpool.kernel.errors import Undecided
from tokenpool.limits import caps
from tokenpool.limits.models import Hold
from tokenpool.limits.operations import Authorize
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import api_keys, groups, memberships

from .conftest import Gate


class Meter:
    """A meter key's calls."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.key = api_keys.mint(by=gate.org.ada, kind="meter", name="Meter")[1]

    async def call(
        self, path: str = "", body: dict[str, Any] | None = None, key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Return status and body of a call; without a body it is a GET."""
        url, headers = f"{self.gate.url}/v1/tokenpool/holds{path}", {"x-api-key": key or self.key}
        method = "GET" if body is None else "POST"
        async with self.gate.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def hold(self, **more: object) -> tuple[int, dict[str, Any]]:
        """Ask for a hold of 1,000 tokens in and out for Elena."""
        asked = {"member": "elena@aurora.example", "product": "claude_code", "model": "claude-opus-5-5"}
        return await self.call("", {**asked, "max_tokens": 1000, "input_tokens_bound": 1000, **more})


@pytest.fixture
def meter(gate: Gate) -> Meter:
    """Return a meter of the usual organization."""
    return Meter(gate)


async def test_a_hold_is_settled_with_what_was_used(meter: Meter) -> None:
    """Held at its bound, settled exactly, an event with the same id behind it."""
    status, hold = await meter.hold()
    assert (201, "reserved", 1000) == (status, hold["state"], hold["max_tokens"])
    assert (0, hold["reserved_nano"]) == meter.gate.account()

    status, ended = await meter.call(f"/{hold['id']}/settle", {"usage": {"input_tokens": 10, "output_tokens": 5}})

    cost = 10 * 4_000 + 5 * 20_000
    assert (200, "settled", 0, cost) == (status, ended["state"], ended["held_nano"], ended["settled_nano"])
    assert (cost, 0) == meter.gate.account()
    assert [cost] == list(UsageEvent.objects.values_list("cost_nano", flat=True))


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        ({"input_tokens": 100, "output_tokens": 5, "cache_read_input_tokens": 80}, 100 * 4_000 + 80 * 200 + 5 * 20_000),
        (
            {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 80},
                "output_tokens": 5,
                "total_tokens": 105,
            },
            20 * 4_000 + 80 * 200 + 5 * 20_000,
        ),
        (
            {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 80}, "completion_tokens": 5},
            20 * 4_000 + 80 * 200 + 5 * 20_000,
        ),
        ({"input": 20, "cache_read": 80, "output": 5}, 20 * 4_000 + 80 * 200 + 5 * 20_000),
    ],
)
async def test_usage_is_read_as_whose_it_is(meter: Meter, usage: dict[str, Any], nano: int) -> None:
    """Beside the prompt in Anthropic's object, part of it in OpenAI's two: told apart by their names."""
    _, hold = await meter.hold()

    _, ended = await meter.call(f"/{hold['id']}/settle", {"usage": usage})

    assert nano == ended["settled_nano"]


async def test_every_verb_can_be_repeated(meter: Meter) -> None:
    """The same request id is the same hold, the same settlement is the same end; a different one is told the first."""
    first, again = await meter.hold(request_id="r-1"), await meter.hold(request_id="r-1")
    assert (201, 200, first[1]["id"]) == (first[0], again[0], again[1]["id"])
    path, usage = f"/{first[1]['id']}", {"usage": {"input": 10, "output": 5}}

    settled = [await meter.call(path + "/settle", usage) for _ in range(2)]
    other = await meter.call(path + "/settle", {"usage": {"output": 6}})
    void = await meter.call(path + "/void", {"reason": "never mind"})

    assert settled[0] == settled[1]
    assert (409, 409) == (other[0], void[0])
    assert "settled at" in void[1]["error"]["message"]
    assert 1 == UsageEvent.objects.count()
    assert 409 == (await meter.hold(request_id="r-1", max_tokens=2000))[0]


@pytest.mark.parametrize(("name", "state"), [("", "void"), ("r-1", "reserved")])
async def test_a_hold_whose_commit_was_not_confirmed(
    meter: Meter, gate: Gate, monkeypatch: pytest.MonkeyPatch, name: str, state: str
) -> None:
    """Without a name it is given back, for nobody can ask for it; with one it waits to be asked for again."""
    submit = gate.parts.commits.submit

    async def unconfirmed(organization_id: str, operation: object) -> object:
        answer = await submit(organization_id, operation)
        if isinstance(operation, Authorize):
            raise Undecided("The commit was not confirmed.")
        return answer

    monkeypatch.setattr(gate.parts.commits, "submit", unconfirmed)
    assert 503 == (await meter.hold(request_id=name))[0]
    monkeypatch.undo()

    assert state == (await gate.at_rest()).state
    status, again = await meter.hold(request_id=name)
    assert (201 if name == "" else 200, "reserved") == (status, again["state"])


async def test_a_hold_that_does_not_fit_is_refused_as_everywhere(meter: Meter) -> None:
    """429, the binding limit, no retry; nothing is held."""
    caps.set_limit(by=meter.gate.org.ada, scope="organization", basis="pool", amount_nano=1_000_000)

    status, answer = await meter.hold()

    assert (429, "tokenpool_organization_limit_reached") == (status, answer["error"]["details"]["error_code"])
    assert 0 == Hold.objects.count()


async def test_an_amount_can_be_held_and_voided_and_extended(meter: Meter) -> None:
    """A product that knows its own bound names it in dollars."""
    _, hold = await meter.hold(max_tokens=None, input_tokens_bound=None, amount="0.25", lease_seconds=5)
    assert 250_000_000 == hold["held_nano"]

    _, extended = await meter.call(f"/{hold['id']}/extend", {"lease_seconds": 600})
    _, ended = await meter.call(f"/{hold['id']}/void", {"reason": "provider away"})

    assert extended["lease_until"] > hold["lease_until"]
    assert ("void", 0, "provider away") == (ended["state"], ended["held_nano"], ended["reason"])
    assert (0, 0) == meter.gate.account()
    assert ended == (await meter.call(f"/{hold['id']}"))[1]
    assert 409 == (await meter.call(f"/{hold['id']}/extend", {}))[0]


async def test_a_hold_counts_in_the_members_groups(meter: Meter) -> None:
    """Room for one hold in the group: the second is refused by the group's name; who is not in it has room."""
    org = meter.gate.org
    group = groups.create(by=org.ada, name="Research")
    memberships.add(by=org.ada, group_id=group.id, members=[org.elena.member_id])
    caps.set_limit(by=org.ada, scope=f"group:{group.id}", basis="pool", amount_nano=1_500_000_000)

    first, hold = await meter.hold(max_tokens=None, input_tokens_bound=None, amount="1.00")
    second, refusal = await meter.hold(max_tokens=None, input_tokens_bound=None, amount="1.00")
    other, _ = await meter.hold(member=org.bruno.member_id, max_tokens=None, input_tokens_bound=None, amount="1.00")

    assert (201, 429, 201) == (first, second, other)
    assert "tokenpool_group_limit_reached" == refusal["error"]["details"]["error_code"]
    assert (
        "the Research group's monthly spend limit of $1.50: $0.00 is spent and $1.00 is held"
        in refusal["error"]["message"]
    )
    assert (0, 1_000_000_000) == meter.gate.account(f"group:{group.id}")
    await meter.call(f"/{hold['id']}/void", {"reason": "done"})
    assert (0, 0) == meter.gate.account(f"group:{group.id}")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**13}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"input_tokens_bound": None}, "input_tokens_bound"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"lease_seconds": 0}, "lease_seconds"),
        ({"lease_seconds": 31_536_000}, "lease_seconds"),
        ({"amount": "0.25"}, "amount"),
        ({"max_tokens": None, "input_tokens_bound": None, "amount": "-1"}, "amount"),
        ({"product": "chess"}, "product"),
        ({"colour": "red"}, "colour"),
        ({"currency": "EUR"}, "currency"),
        ({"max_tokens": True}, "max_tokens"),
        ({"input_tokens_bound": -1}, "input_tokens_bound"),
        ({"max_tokens": None, "input_tokens_bound": None, "amount": "0.0000000001"}, "amount"),
        ({"max_tokens": None, "input_tokens_bound": None, "amount": "9223372036.86"}, "amount"),
        ({"lease_seconds": -5}, "lease_seconds"),
        ({"lease_seconds": "30"}, "lease_seconds"),
        ({"member": ""}, "member"),
        ({"model": "claude-unheard-of"}, "model"),
    ],
)
async def test_bad_input_names_its_field_and_holds_nothing(meter: Meter, more: dict[str, Any], field: str) -> None:
    """400 with the field; nothing changed."""
    status, answer = await meter.hold(**more)

    assert (400, field) == (status, answer["error"]["details"]["field"])
    assert 0 == Hold.objects.count()


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        ({}, "usage"),
        ({"output": -1}, "usage.output"),
        ({"input_tokens": 1, "output_tokens": -1}, "usage.output_tokens"),
        ({"input_tokens": 1, "output_tokens": 10**13}, "usage.output_tokens"),
        ({"pages": 3}, "usage.pages"),
        ({"prompt_tokens": 5}, "usage"),
        ({"prompt_tokens": 5, "completion_tokens": -1}, "usage.completion_tokens"),
        ({"input": 10**13}, "usage.input"),
        ({"input": 1.5}, "usage.input"),
        ({"web_search_requests": -1}, "usage.web_search_requests"),
        ({"output_tokens": 1}, "usage.input_tokens"),
        ({"input_tokens": None, "output_tokens": 1}, "usage.input_tokens"),
        ({"input_tokens": 1}, "usage.output_tokens"),
        ({"output": 1_000_000}, "usage"),
        ({"input_tokens": 1, "output_tokens": 1, "server_tool_use": "2"}, "usage.server_tool_use"),
        ({"input_tokens": 1, "output_tokens": 1, "cache_creation": [5]}, "usage.cache_creation"),
    ],
)
async def test_bad_usage_settles_nothing(meter: Meter, usage: dict[str, Any], field: str) -> None:
    """Missing, negative, huge, unknown, or above the hold: 400 with the field, and the hold stands."""
    _, hold = await meter.hold()

    status, answer = await meter.call(f"/{hold['id']}/settle", {"usage": usage})

    assert (400, field) == (status, answer["error"]["details"]["field"])
    assert (0, hold["reserved_nano"]) == meter.gate.account()


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("settle", {}, "usage"),
        ("settle", {"usage": []}, "usage"),
        ("settle", {"usage": {"output": 1}, "cost": "1"}, "cost"),
        ("extend", {"lease_seconds": 0}, "lease_seconds"),
        ("extend", {"lease_seconds": 31_536_000}, "lease_seconds"),
        ("void", {}, "reason"),
        ("void", {"reason": ""}, "reason"),
        ("void", {"reason": "x" * 61}, "reason"),
    ],
)
async def test_a_bad_body_ends_nothing(meter: Meter, verb: str, body: dict[str, Any], field: str) -> None:
    """A lease of nothing or of a year, an end without usage or reason: 400 with the field, and the hold stands."""
    _, hold = await meter.hold()

    status, answer = await meter.call(f"/{hold['id']}/{verb}", body)

    assert (400, field) == (status, answer["error"]["details"]["field"])
    assert hold == (await meter.call(f"/{hold['id']}"))[1]
    assert (0, hold["reserved_nano"]) == meter.gate.account()


async def test_an_ended_hold_ends_no_other_way(meter: Meter) -> None:
    """Void: neither settled nor extended any more; the first end is told."""
    _, hold = await meter.hold()
    await meter.call(f"/{hold['id']}/void", {"reason": "provider away"})

    answers = [
        await meter.call(f"/{hold['id']}/settle", {"usage": {"output": 1}}),
        await meter.call(f"/{hold['id']}/extend", {"lease_seconds": 60}),
        await meter.call(f"/{hold['id']}/void", {"reason": "another"}),
    ]

    assert [409, 409, 200] == [status for status, _ in answers]
    assert "The hold had ended before: void" in answers[0][1]["error"]["message"]
    assert ("void", "provider away", (0, 0)) == (answers[2][1]["state"], answers[2][1]["reason"], meter.gate.account())


@pytest.mark.parametrize(("verb", "body"), [("extend", {}), ("void", {"reason": "x"}), ("settle", {"usage": {"a": 1}})])
async def test_an_unknown_hold_is_not_found_whatever_is_asked_of_it(
    meter: Meter, verb: str, body: dict[str, Any]
) -> None:
    """404 in the envelope, also for what is no id at all."""
    for hold_id in ("hold_00000000000000000000000000", "hold_", "%27%3B--"):
        status, answer = await meter.call(f"/{hold_id}/{verb}", body)
        assert (404, "There is no such hold.") == (status, answer["error"]["message"])


async def test_another_organization_finds_nothing(meter: Meter, gate: Gate) -> None:
    """A foreign hold and an unknown one answer alike; other kinds of key may not hold."""
    from builders import aurora  # noqa: PLC0415 - a second organization beside the gate's

    other = api_keys.mint(by=aurora("Borealis", "borealis.example").ada, kind="meter", name="Meter")[1]
    _, hold = await meter.hold()

    foreign = await meter.call(f"/{hold['id']}/settle", {"usage": {"output": 1}}, key=other)
    unknown = await meter.call("/hold_00000000000000000000000000/settle", {"usage": {"output": 1}})

    assert (404, 404) == (foreign[0], unknown[0])
    assert foreign[1]["error"] == unknown[1]["error"]
    assert 403 == (await meter.call(f"/{hold['id']}", key=gate.key))[0]
    asked = {"member": "elena@aurora.example", "product": "chat", "model": "claude-opus-5-5", "amount": "1"}
    assert 404 == (await meter.call("", asked, key=other))[0]


async def test_a_seat_that_does_not_open_the_product_holds_nothing(meter: Meter) -> None:
    """The hold API grants nothing that the member's seat type does not."""
    assert 403 == (await meter.hold(member="farid@aurora.example"))[0]


async def test_a_container_is_held_in_full_and_its_free_time_taken_off_at_the_end(meter: Meter) -> None:
    """An hour beside a search: held 60,000,000 beyond the tokens, settled at the search alone; the repeat agrees."""
    _, plain = await meter.hold()
    _, hold = await meter.hold(web_searches=1, code_execution_seconds=3600)
    usage = {"usage": {"input": 10, "web_search_requests": 1, "code_execution_seconds": 3600}}

    first = await meter.call(f"/{hold['id']}/settle", usage)
    again = await meter.call(f"/{hold['id']}/settle", usage)

    assert 60_000_000 == hold["reserved_nano"] - plain["reserved_nano"]
    assert [(200, 10_040_000)] * 2 == [(status, ended["settled_nano"]) for status, ended in (first, again)]
    event = UsageEvent.objects.get()
    assert (3600, 3600, 0) == (
        event.code_execution_seconds, event.code_execution_free_seconds, event.code_execution_nano,
    )  # fmt: skip


async def test_a_tool_without_a_price_is_neither_held_nor_settled(meter: Meter) -> None:
    """GPT-6 Sol has no price of a container."""
    held = await meter.hold(model="gpt-6-sol", code_execution_seconds=1)
    _, hold = await meter.hold(model="gpt-6-sol")
    settled = await meter.call(f"/{hold['id']}/settle", {"usage": {"input": 1, "code_execution_seconds": 1}})

    assert (400, "tools: code execution has no price for gpt-6-sol; leave it out.") == (
        held[0], held[1]["error"]["message"],
    )  # fmt: skip
    assert (400, "usage: it has a tool that has no price for gpt-6-sol.") == (
        settled[0],
        settled[1]["error"]["message"],
    )


async def test_text_that_a_database_cannot_keep_is_refused(gates: tuple[Gate, Gate]) -> None:
    """Before it is in a batch, where it would fail what others do; an id that is none is not looked for."""
    meter = Meter(gates[0])
    _, hold = await meter.hold()

    for answer in (
        await meter.hold(member="a\0"),
        await meter.hold(model="a\0"),
        await meter.hold(request_id="a\0"),
        await meter.call(f"/{hold['id']}/void", {"reason": "a\0"}),
    ):
        assert 400 == answer[0]
        assert answer[1]["error"]["message"].endswith(": must not hold a NUL character.")
    assert 404 == (await meter.call("/%00"))[0]
    assert "reserved" == (await meter.call(f"/{hold['id']}"))[1]["state"]
