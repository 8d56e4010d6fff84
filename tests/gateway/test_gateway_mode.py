"""Claude Code's gateway mode: a device's token calls models, its dollars are told, its sign-in ends at once."""

import asyncio
import hashlib
import io
import json
from datetime import datetime, timedelta
from typing import Any

from builders import DOLLAR
from tokenpool.kernel import clock
from tokenpool.limits.models import Account, Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import device_tokens, devices, members, own_prices, seats
from tokenpool.organizations.device_tokens import Tokens
from tokenpool.organizations.devices import Asked
from tokenpool.organizations.models import DeviceToken
from tokenpool.organizations.roles import operator

from .conftest import BODY, BOOK, COST, Gate


def signed_in(gate: Gate) -> Tokens:
    """Sign a device of Elena's in."""
    asked = devices.ask(user_agent="claude-code/2.1.330", address="192.0.2.7")
    assert isinstance(asked, Asked)
    found = devices.look_up(asked.user_code)
    assert found is not None
    devices.decide(by=gate.org.elena, request=found, approved=True)
    tokens = device_tokens.redeem(asked.device_code)
    assert isinstance(tokens, Tokens)
    return tokens


def bearer(token: str) -> dict[str, str]:
    """Return the headers of a signed-in Claude Code."""
    return {"authorization": f"Bearer {token}", "user-agent": "claude-cli/2.1.330 (external, cli)"}


async def get(gate: Gate, path: str, token: str, **headers: str) -> tuple[int, Any, Any]:
    """Ask as Claude Code does; return status, body and headers."""
    async with gate.session.get(gate.url + path, headers={"authorization": f"Bearer {token}", **headers}) as answer:
        body = await answer.read()
        return answer.status, json.loads(body) if body else None, answer.headers


async def test_a_device_spends_for_its_member_until_it_is_removed(gate: Gate) -> None:
    """One event of Elena's by Claude Code; then 401 at once, which no client tries again."""
    gate.provider.answers()
    token = signed_in(gate).access_token

    async with gate.session.post(f"{gate.url}/v1/messages", json=BODY, headers=bearer(token)) as answer:
        assert 200 == answer.status
    event = UsageEvent.objects.get()
    assert (gate.org.elena.member_id, "claude_code", COST) == (event.member_id, event.product, event.cost_nano)

    members.remove(by=gate.org.ada, member_id=gate.org.elena.member_id)
    async with gate.session.post(f"{gate.url}/v1/messages", json=BODY, headers=bearer(token)) as answer:
        told = await answer.json()
        assert (401, "false", "authentication_error") == (
            answer.status, answer.headers["x-should-retry"], told["error"]["type"],
        )  # fmt: skip
        assert "sign in again" in told["error"]["message"]


async def test_a_seat_change_acts_on_the_next_request(gate: Gate) -> None:
    """A chat seat does not open Claude Code: 403, no hold."""
    token = signed_in(gate).access_token
    seats.assign(by=gate.org.ada, member_id=gate.org.elena.member_id, seat_type="chat")

    async with gate.session.post(f"{gate.url}/v1/messages", json=BODY, headers=bearer(token)) as answer:
        assert 403 == answer.status

    assert 0 == Hold.objects.count()


async def test_an_access_token_ends_when_its_time_is_over(gate: Gate) -> None:
    """200 before, 401 after, though its facts are remembered; it was made for seven days."""
    token = signed_in(gate).access_token
    row = DeviceToken.objects.get(kind="access")
    assert 604_800_000_000 == row.expires_us - clock.timestamp(row.issued_at)
    ends = clock.now() + timedelta(seconds=3)
    DeviceToken.objects.update(expires_us=clock.timestamp(ends))

    assert 200 == (await get(gate, "/api/oauth/usage", token))[0]
    await asyncio.sleep((ends - clock.now()).total_seconds())
    assert 401 == (await get(gate, "/api/oauth/usage", token))[0]


async def test_usage_is_told_in_dollars_of_the_limit_the_headers_speak_of(gate: Gate) -> None:
    """82 cents of Elena's own dollar, though the pool has fifty: cents, percents, and the second of the header."""
    gate.provider.answers()
    token = signed_in(gate).access_token
    gate.org.limit("organization", 50)
    gate.org.limit(f"member:{gate.org.elena.member_id}", 1, "each")
    async with gate.session.post(f"{gate.url}/v1/messages", json=BODY, headers=bearer(token)) as answer:
        reset = int(answer.headers["anthropic-ratelimit-unified-overage-reset"])
    Account.objects.filter(scope=f"member:{gate.org.elena.member_id}").update(spent_nano=DOLLAR * 82 // 100)

    status, told, headers = await get(gate, "/api/oauth/usage", token)

    assert (200, "no-store") == (status, headers["cache-control"])
    assert {
        "is_enabled": True, "currency": "USD", "monthly_limit": 100, "used_credits": 82, "utilization": 82,
    } == told["extra_usage"]  # fmt: skip
    active = [row for row in told["limits"] if row["is_active"]]
    assert [("spend", "monthly", 82, "warning")] == [
        (row["kind"], row["group"], row["percent"], row["severity"]) for row in active
    ]
    at = datetime.fromisoformat(active[0]["resets_at"])
    assert reset == clock.timestamp(at) // 1_000_000
    assert 2 == len(told["limits"])


async def test_without_a_limit_the_month_the_week_and_the_day_are_told(gate: Gate) -> None:
    """No cap is null, not 0; the three amounts are in cents."""
    token = signed_in(gate).access_token

    _, told, _ = await get(gate, "/api/oauth/usage", token)

    nothing = {"limit": None, "used_credits": 0, "utilization": None}
    assert [] == told["limits"]
    assert {
        "is_enabled": True, "currency": "USD", "monthly_limit": None, "used_credits": 0, "utilization": None,
        "daily": nothing, "weekly": nothing,
    } == told["extra_usage"]  # fmt: skip


async def test_contract_prices_are_managed_settings_and_list_prices_are_none(gate: Gate) -> None:
    """404 at list prices; ten percent less is a multiplier beside the machine's own rules; its checksum is the tag."""
    token = signed_in(gate).access_token
    assert 404 == (await get(gate, "/managed/settings", token))[0]
    by = operator(gate.org.organization_id, "Olga")
    today = clock.now().date()
    own_prices.set_price(by=by, book=BOOK, effective_from=today, reason="contract", ppm=-100_000)

    status, told, headers = await get(gate, "/managed/settings", token)

    assert (200, {"managedSourcesBehavior": "merge", "modelPricing": {"multiplier": 0.9}}) == (status, told["settings"])
    canonical = b'{"managedSourcesBehavior":"merge","modelPricing":{"multiplier":0.9}}'
    assert f"sha256:{hashlib.sha256(canonical).hexdigest()}" == told["checksum"]
    assert headers["etag"] == f'"{told["checksum"]}"'
    assert 304 == (await get(gate, "/managed/settings", token, **{"if-none-match": headers["etag"]}))[0]
    assert 200 == (await get(gate, "/managed/settings", token, **{"if-none-match": "*"}))[0]


async def test_telemetry_is_taken_and_dropped_from_members_alone(gate: Gate) -> None:
    """200 for the three signals in both encodings, 401 for strangers, 413 above 4 MiB; /api/hello for everybody."""
    token = signed_in(gate).access_token

    async def send(path: str, key: str, body: bytes, kind: str) -> tuple[int, str]:
        headers = {"authorization": f"Bearer {key}", "content-type": kind}
        async with gate.session.post(gate.url + path, data=io.BytesIO(body), headers=headers) as answer:
            return answer.status, (await answer.read()).decode()

    for signal in ("metrics", "logs", "traces"):
        assert (200, "{}") == await send(f"/v1/{signal}", token, b'{"resourceMetrics": []}', "application/json")
        assert (200, "") == await send(f"/v1/{signal}", token, b"\x0a\x00", "application/x-protobuf")
    assert 401 == (await send("/v1/metrics", "tp-device-" + "A" * 43, b"{}", "application/json"))[0]
    assert 413 == (await send("/v1/metrics", token, b"x" * (4 * 2**20 + 1), "application/json"))[0]
    async with gate.session.head(f"{gate.url}/api/hello") as answer:
        assert 200 == answer.status
    assert [] == gate.provider.seen
