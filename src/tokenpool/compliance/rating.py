"""Every event rated again with the price version it is pinned to; corrections with the event they correct."""

from collections.abc import Iterator
from itertools import islice

from django.db.models import QuerySet

from tokenpool.kernel.errors import UnknownModel
from tokenpool.metering import correct
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.rate import rate_event
from tokenpool.pricing.own import Prices

AT_ONCE = 500


def broken(rows: "QuerySet[UsageEvent]", book: Prices) -> Iterator[str]:
    """Yield every one of *rows* (of one organization, whole months) that does not cost what its version says.

    An event that was corrected and its corrections together cost what the last one's version says.
    """
    corrections = dict(rows.exclude(corrects=None).values_list("id", "corrects"))
    originals = rows.filter(corrects=None).iterator(chunk_size=AT_ONCE)
    while events := list(islice(originals, AT_ONCE)):
        chains = correct.earlier(events[0].organization_id, [event.id for event in events]) if corrections else {}
        for event in events:
            chain = [event, *chains.get(event.id, ())]
            for length in range(1, len(chain) + 1):
                corrections.pop(chain[length - 1].id, None)
                yield from _rated_again(chain[:length], book)
    for event_id, corrected in sorted(corrections.items()):
        yield f"{event_id} corrects {corrected}, which is not there or was corrected otherwise"


def _rated_again(chain: list[UsageEvent], book: Prices) -> Iterator[str]:
    """Yield how the chain's cost differs from its tokens' at the last event's price version."""
    last, stored = chain[-1], sum(event.cost_nano for event in chain)
    try:
        price = book.by_version(last.price_version)
    except UnknownModel as error:
        yield f"{last.id}: {error.message}"
        return
    cost = rate_event(chain[0], price)
    if [*cost] != correct.billed(chain) or cost.total != stored:
        yield f"{last.id} costs {cost.total} under {last.price_version}, stored is {stored}"
