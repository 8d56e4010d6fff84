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
from tokenpool.gateway.messages import TooLarge
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.refusals import PERIODS
from tokenpool.kernel import clock
from tokenpool.kernel.errors import NotFound
from tokenpool.kernel.money import NANO_PER_CENT
from tokenpool.kernel.period import Window
from tokenpool.limits.operations import Attribution, LimitState
from tokenpool.limits.position import position
from tokenpool.metering import recent

MOST_TELEMETRY_BYTES = 4 * 2**20
NEVER_KEPT = {"cache-control": "no-store"}
PROTOBUF = "application/x-protobuf"


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
        extra = {**_amounts(spent[Window.MONTH]), **{PERIODS[one]: _amounts(spent[one], "limit") for one in _SHORT}}
    else:
        extra = _amounts(fullest.spent_nano, limit=fullest)
    told = {
        "extra_usage": {"is_enabled": True, "currency": "USD", **extra},
        "limits": [_row(limit, is_active=limit is fullest) for limit in limits],
    }
    return JSONResponse(told, headers={"request-id": request.state.request_id, **NEVER_KEPT})


_SHORT = (Window.DAY, Window.WEEK)


async def telemetry(parts: Parts, request: Request) -> Response:
    """Take what OpenTelemetry exports, and drop it: the gateway's own events are the truth."""
    await authenticate(request.headers, parts.directory)
    await _drop(request)
    if request.headers.get("content-type", "").startswith(PROTOBUF):
        return Response(media_type=PROTOBUF)  # an empty message: everything was taken
    return JSONResponse({})


async def event_logging(_: Parts, request: Request) -> Response:
    """Take the client's own events, from whoever sends them, and drop them."""
    await _drop(request)
    return Response(status_code=204)
