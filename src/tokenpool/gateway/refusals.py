"""What a client is told at a limit and below it: one sentence, exact numbers, and the headers they act on.

The contract was tried with every client: they stop after one attempt and show the sentence.
"""

from datetime import datetime, timedelta

from starlette.responses import Response

from tokenpool.gateway.answers import envelope
from tokenpool.gateway.formats import Envelope
from tokenpool.kernel import clock
from tokenpool.kernel.money import NANO_PER_CENT, dollars
from tokenpool.kernel.period import Window
from tokenpool.limits.operations import LimitState, Refusal
from tokenpool.organizations.directory import Directory, KeyFacts

PREFIX = "anthropic-ratelimit-unified-"
PERIODS = {Window.MONTH: "monthly", Window.WEEK: "weekly", Window.DAY: "daily"}
WARN_PERCENT = (95, 75)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


async def over_limit(
    refusal: Refusal, facts: KeyFacts, directory: Directory, request_id: str, written: Envelope = envelope
) -> Response:
    """Return the refusal of a request that does not fit a limit (429, or 402 by the organization's setting)."""
    limit = refusal.limit
    level, _, named = limit.scope.partition(":")
    group = await directory.group_name(facts.organization_id, named) if level == "group" else ""
    seconds = max(1, (limit.resets_at - clock.now()) // timedelta(seconds=1))
    details = {
        "error_code": f"tokenpool_{level}_limit_reached",
        "limit": dollars(limit.limit_nano),
        "spent": dollars(limit.spent_nano),
        "held": dollars(limit.held_nano),
        "left": dollars(max(0, limit.left_nano)),
        "currency": "USD",
        "resets_at": clock.text(limit.resets_at),
        "affordable_max_tokens": refusal.affordable_output,
    }
    reset = _epoch(limit.resets_at)
    headers = {
        "x-should-retry": "false",
        "retry-after": str(seconds),
        PREFIX + "status": "rejected",
        PREFIX + "reset": reset,
        PREFIX + "overage-reset": reset,
        PREFIX + "overage-utilization": _utilization(min(100, limit.spent_percent)),
        PREFIX + "overage-surpassed-threshold": "1",
        PREFIX + "overage-period": PERIODS[limit.window],
        PREFIX + "overage-disabled-reason": "org_spend_cap_reached",
    }
    if level == "group" and limit.basis == "pool":
        headers[PREFIX + "overage-scope"] = "group_pool"
    sentence = _sentence(refusal, facts, group)
    return written(
        facts.refusal_status, "billing_error", sentence, request_id=request_id, details=details, headers=headers
    )


def under_limit(fullest: LimitState | None) -> dict[str, str]:
    """Return the headers of an answer that was let through: how full the fullest limit is."""
    if fullest is None or fullest.limit_nano == 0:
        return {PREFIX + "status": "allowed"}
    percent = fullest.spent_percent
    surpassed = next((threshold for threshold in WARN_PERCENT if percent >= threshold), None)
    status = "allowed_warning" if surpassed else "allowed"
    reset = _epoch(fullest.resets_at)
    headers = {
        PREFIX + "status": status,
        PREFIX + "reset": reset,
        PREFIX + "representative-claim": "overage",
        PREFIX + "overage-status": status,
        PREFIX + "overage-reset": reset,
        PREFIX + "overage-utilization": _utilization(min(99, percent)),
    }
    if surpassed:
        headers[PREFIX + "overage-surpassed-threshold"] = f"0.{surpassed}"
    return headers


def _sentence(refusal: Refusal, facts: KeyFacts, group: str) -> str:
    limit = refusal.limit
    alone = " per-member" if limit.basis == "each" else ""
    whose = {
        "organization": f"your organization's{alone}",
        "seat_type": f"the {facts.seat_type_name} seat type's{alone}",
        "group": f"the {group} group's{alone}",
        "member": "your own",
    }[limit.scope.partition(":")[0]]
    if limit.limit_nano == 0:
        return f"Spending is blocked: {whose} {PERIODS[limit.window]} spend limit is $0. Ask {facts.ask} to raise it."
    held = f" and ${_cents(limit.held_nano)} is held by running requests" if limit.held_nano else ""
    room = f" Up to {refusal.affordable_output:,} output tokens would still fit." if refusal.affordable_output else ""
    at = limit.resets_at
    return (
        f"This request does not fit {whose} {PERIODS[limit.window]} spend limit of ${_cents(limit.limit_nano)}: "
        f"${_cents(limit.spent_nano)} is spent{held}. It resets on {at.day} {_MONTHS[at.month - 1]}, 00:00 UTC.{room} "
        f"Ask {facts.ask} to raise it."
    )


def _cents(nano: int) -> str:
    """Return dollars with two decimals, rounded down, so that a limit never looks emptier than it is."""
    whole, cents = divmod(nano // NANO_PER_CENT, 100)
    return f"{whole:,}.{cents:02d}"


def _utilization(percent: int) -> str:
    return f"{percent // 100}.{percent % 100:02d}"


def _epoch(instant: datetime) -> str:
    return str(clock.timestamp(instant) // 1_000_000)
