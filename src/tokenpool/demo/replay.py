"""Sending recorded requests through the real metering path: bound, hold, usage block, rating, settlement."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenpool.demo.traces import Recorded
from tokenpool.kernel import clock, ids
from tokenpool.kernel.group_commit import GroupCommit
from tokenpool.limits.operations import Attribution, Authorize, Held, Settle
from tokenpool.metering.extract import usage_from_message
from tokenpool.metering.rate import rate_reported
from tokenpool.pricing.book import PriceBook
from tokenpool.pricing.bound import Shape, largest_cost

AT_ONCE = 256
OUTPUT_MARGIN = 2  # clients ask for more output than they use


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded request on its way: when, whose, of which model."""

    at: datetime
    who: Attribution
    model: str
    recorded: Recorded


async def replay(
    commits: GroupCommit,
    organization_id: str,
    book: PriceBook,
    requests: Sequence[Replayed],
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Replay *requests* in order, many at a time; return how many were let through by the limits."""
    passed = 0
    for start in range(0, len(requests), AT_ONCE):
        chunk = requests[start : start + AT_ONCE]
        passed += sum(await asyncio.gather(*(_one(commits, organization_id, book, request) for request in chunk)))
        progress(len(chunk))
    return passed


async def _one(commits: GroupCommit, organization_id: str, book: PriceBook, request: Replayed) -> bool:
    recorded = request.recorded
    price = book.price(request.model, request.at.date())
    prompt = recorded.input + recorded.cache_read + recorded.cache_write
    shape = Shape(prompt, recorded.output * OUTPUT_MARGIN, cache_5m=recorded.cache_write > 0 or recorded.cache_read > 0)
    with clock.standing_at(request.at):
        hold_id = ids.new("hold")
    ask = Authorize(
        hold_id=hold_id,
        who=request.who,
        model=price.model,
        price_version=price.version,
        bound=largest_cost(shape, price),
        admitted_at=request.at,
    )
    answer = await commits.submit(organization_id, ask)
    if not isinstance(answer, Held):
        return False
    reported = usage_from_message({"usage": _usage_block(recorded)})
    if reported is None:
        raise ValueError("a recorded request has no usage")
    usage, flags = rate_reported(reported, pinned=price, book=book, day=request.at.date())
    took = timedelta(milliseconds=400 + 15 * recorded.output)
    await commits.submit(organization_id, Settle(answer.hold_id, usage, request.at + took, flags))
    return True


def _usage_block(recorded: Recorded) -> dict[str, object]:
    """Return the usage as the provider would tell it."""
    return {
        "input_tokens": recorded.input,
        "cache_read_input_tokens": recorded.cache_read,
        "cache_creation_input_tokens": recorded.cache_write,
        "cache_creation": {"ephemeral_5m_input_tokens": recorded.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": recorded.output,
    }
