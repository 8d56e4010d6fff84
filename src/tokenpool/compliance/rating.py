"""Every event rated again with the price version it is pinned to; corrections with the event they correct.

Events of one price and mode are rated together, as columns. What differs there, used a tool or was
corrected is looked at one by one: only that tells which, and what it should cost.
"""

from array import array
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from tokenpool.kernel.errors import UnknownModel
from tokenpool.metering import correct
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.record import AMOUNT_COLUMNS
from tokenpool.pricing.columns import BLOCK, TYPE, Counts, rate_columns
from tokenpool.pricing.own import Prices

_MODE = ("price_version", "batch", "us_only", "fast")
_TOKENS = tuple(f"{name}_tokens" for name in Counts._fields)
_NANO = tuple(f"{name}_nano" for name in (*Counts._fields, "cost"))
_TOOLS = ("web_search_requests", "code_execution_seconds", "web_search_nano", "code_execution_nano")


def broken(rows: "QuerySet[UsageEvent]", book: Prices) -> Iterator[str]:
    """Yield every one of *rows* (of one organization, whole months) that does not cost what its version says.

    An event that was corrected and its corrections together cost what the last one's version says; one that
    was taken back and its corrections come to nothing, in tokens too.
    """
    corrections = dict(rows.exclude(corrects=None).values_list("id", "corrects"))
    corrected = frozenset(corrections.values())
    originals = rows.filter(corrects=None).values_list("id", *_TOOLS, *_MODE, *_TOKENS, *_NANO)
    stream = originals.iterator(chunk_size=BLOCK)
    while some := list(islice(stream, BLOCK)):
        suspects = list(_suspects(some, corrected, book))
        for event in rows.filter(id__in=suspects).order_by("id") if suspects else ():
            chains = correct.earlier(event.organization_id, [event.id]) if event.id in corrected else {}
            chain = [event, *chains.get(event.id, ())]
            for length in range(1, len(chain) + 1):
                corrections.pop(chain[length - 1].id, None)
                yield from _rated_again(chain[:length], book)
    for event_id, name in sorted(corrections.items()):
        yield f"{event_id} corrects {name}, which is not there or was corrected otherwise"


def _suspects(events: list[tuple[Any, ...]], corrected: Collection[str | None], book: Prices) -> Iterator[str]:
    """Yield the ids of those to look at one by one: together the others cost what is stored."""
    alike: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for event_id, *facts in events:
        if event_id in corrected or any(facts[: len(_TOOLS)]):
            yield event_id
        else:
            mode = facts[len(_TOOLS) :][: len(_MODE)]
            alike.setdefault(tuple(mode), []).append((event_id, *facts[len(_TOOLS + _MODE) :]))
    for (version, batch, us_only, fast), group in alike.items():
        ids, *columns = zip(*group, strict=True)
        numbers = [array(TYPE, column) for column in columns]
        counts, stored = Counts(*numbers[: len(_TOKENS)]), numbers[len(_TOKENS) :]
        try:
            costs = rate_columns(counts, book.by_version(version), batch=batch, us_only=us_only, fast=fast)
        except UnknownModel:
            costs = None
        if costs is None or [*costs] != stored:
            yield from ids


def _rated_again(chain: list[UsageEvent], book: Prices) -> Iterator[str]:
    """Yield how the chain's cost differs from its tokens' at the last event's price version."""
    last, stored = chain[-1], sum(event.cost_nano for event in chain)
    try:
        price = book.by_version(last.price_version)
    except UnknownModel as error:
        yield f"{last.id}: {error.message}"
        return
    cost = correct.cost_of(chain, price)
    if correct.was_taken_back(chain) and any(sum(getattr(event, name) for event in chain) for name in AMOUNT_COLUMNS):
        yield f"{last.id} does not take {chain[0].id} back as a whole"
    if [*cost] != correct.billed(chain) or cost.total != stored:
        yield f"{last.id} costs {cost.total} under {last.price_version}, stored is {stored}"
