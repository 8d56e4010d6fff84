"""What Claude Code asks a gateway besides models: its member's dollars, its settings, and where to leave telemetry.

Paths and shapes are those of `GET /protocol` of the gateway inside Claude Code 2.1.330. Signing in
is the API room's.
"""

import hashlib
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokenpool.gateway.authenticate import authenticate
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.received import TooLarge
from tokenpool.gateway.refusals import PERIODS
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import NotFound
from tokenpool.kernel.money import NANO_PER_CENT
from tokenpool.kernel.period import Window
from tokenpool.limits.operations import Attribution, LimitState
from tokenpool.limits.position import position
from tokenpool.metering import recent
from tokenpool.pricing.claude_code import model_pricing
from tokenpool.pricing.own import OwnBook

MOST_TELEMETRY_BYTES = 4 * 2**20
NEVER_KEPT = {"cache-control": "no-store"}
PROTOBUF = "application/x-protobuf"
BESIDE_OTHERS = {"managedSourcesBehavior": "merge"}  # else ours would be the only managed settings a machine obeys
WARNING_PERCENT, CRITICAL_PERCENT = 75, 95


async def hello(_: Parts, _request: Request) -> Response:
    """Answer the probe that comes before anything else, whoever asks."""
    return Response(headers=NEVER_KEPT)


async def usage(parts: Parts, request: Request) -> Response:
    """Tell the caller's limits in dollars; the active one is that of which the headers of answers speak."""
    facts = await authenticate(request.headers, parts.directory)
    now = clock.now()
    who = Attribution(facts.member_id, facts.seat_type or "", facts.product, groups=facts.groups)
    limits, fullest = await position(parts.store, facts.organization_id, who, now)
    if fullest is None:
        spent = await recent.spent(parts.store, facts.organization_id, facts.member_id, now)
        short = {PERIODS[one]: {"limit": None, **_spent(spent[one])} for one in (Window.DAY, Window.WEEK)}
        extra = {"monthly_limit": None, **_spent(spent[Window.MONTH]), **short}
    else:
        limit_cents = fullest.limit_nano // NANO_PER_CENT
        extra = {"monthly_limit": limit_cents, **_spent(fullest.spent_nano), "utilization": fullest.spent_percent}
    told = {
        "extra_usage": {"is_enabled": True, "currency": "USD", **extra},
        "limits": [_row(limit, is_active=limit == fullest) for limit in limits],
    }
    return JSONResponse(told, headers={"request-id": request.state.request_id, **NEVER_KEPT})


async def managed_settings(parts: Parts, request: Request) -> Response:
    """Tell the settings the organization has for Claude Code: its own prices, where it has some.

    Raises:
        NotFound: every model costs what the list says, so there is nothing to set.
    """
    facts = await authenticate(request.headers, parts.directory)
    text = model_pricing(OwnBook(parts.book, facts.own_prices), clock.now().date())
    if not text:
        raise NotFound("There are no managed settings: your organization pays list prices.")
    settings = {**BESIDE_OTHERS, **json.loads(text, parse_float=_number)}
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    checksum = f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
    headers = {"request-id": request.state.request_id, "etag": f'"{checksum}"', "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    uuid = ids.derived("settings", facts.organization_id, checksum)
    return JSONResponse({"uuid": uuid, "checksum": checksum, "settings": settings}, headers=headers)


async def telemetry(parts: Parts, request: Request) -> Response:
    """Take what OpenTelemetry exports, and drop it: the gateway's own events are the truth."""
    await authenticate(request.headers, parts.directory)
    await _drop(request)
    if request.headers.get("content-type", "").startswith(PROTOBUF):
        return Response(media_type=PROTOBUF)  # an empty message: everything was taken
    return JSONResponse({})


async def _drop(request: Request) -> None:
    """Read a body to its end and keep nothing of it.

    Raises:
        TooLarge: it has more than 4 MiB.
    """
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_TELEMETRY_BYTES:
            raise TooLarge(f"The body is larger than {MOST_TELEMETRY_BYTES // 2**20} MiB.")


def _row(limit: LimitState, *, is_active: bool) -> dict[str, Any]:
    percent = limit.spent_percent
    severity = "critical" if percent > CRITICAL_PERCENT else "warning" if percent > WARNING_PERCENT else "normal"
    return {
        "kind": "spend",
        "group": PERIODS[limit.window],
        "percent": percent,
        "resets_at": f"{limit.resets_at:%Y-%m-%dT%H:%M:%S}.000Z",
        "severity": severity,
        "is_active": is_active,
    }


def _spent(nano: int) -> dict[str, int | None]:
    """Return what was spent in cents, rounded down as limits are; no share of a limit that there is not."""
    return {"used_credits": nano // NANO_PER_CENT, "utilization": None}


def _number(text: str) -> int | float:
    """Read a number as the client writes it again, so that its checksum is ours: 5.00 is 5."""
    number = float(text)
    return int(number) if number.is_integer() else number
