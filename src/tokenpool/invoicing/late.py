"""Results that were told after their holds had ended as estimates: the estimate is taken back, the truth billed once.

An event is never edited: one more takes the estimate back, others say what was used. Which estimates
stand is read under the organization's lock, so whoever tells a result again, in whatever process,
changes nothing.
"""

from collections.abc import Sequence

from django.db import close_old_connections, transaction

from tokenpool.audit.actions import Action
from tokenpool.invoicing import corrections
from tokenpool.kernel import clock
from tokenpool.limits.operations import Settle, Void
from tokenpool.metering import correct
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.record import event_id
from tokenpool.organizations import trail
from tokenpool.organizations.models import Gate
from tokenpool.organizations.roles import system


def bill(organization_id: str, batch_id: str, ends: Sequence[Settle | Void]) -> int:
    """Put *ends*, of holds that have ended as estimates, in the place of these; return how many were taken back.

    The audit is told what that came to, and which invoices carry it.
    """
    close_old_connections()
    wanted = {event_id(end.hold_id, 0): end for end in reversed(ends)}  # of two ends of one hold the first
    with transaction.atomic():
        gate = Gate.objects.select_for_update().get(organization_id=organization_id)
        issued, at = corrections.issued(organization_id), clock.now()
        chains = correct.earlier(organization_id, list(wanted))
        fresh = []
        for estimate in UsageEvent.objects.filter(organization_id=organization_id, id__in=list(wanted)).order_by("id"):
            billed_in = corrections.billed_in(estimate.month, issued)
            taken = correct.taking_back(estimate, chains.get(estimate.id, ()), at=at, billed_in=billed_in)
            if taken is None:
                continue
            fresh.append(taken)
            end = wanted[estimate.id]
            if isinstance(end, Settle):
                fresh += correct.told_late(estimate, end.usage, end.flags, at=at, billed_in=billed_in)
        if not fresh:
            return 0
        corrections.write(fresh, gate.windows)
        requests = len({event.request_id for event in fresh})
        sums = corrections.Sums()
        sums.take(fresh)
        told = {"requests": requests, "difference_nano": sums.difference_nano, "by_invoice": sums.by_invoice}
        trail.note(system(organization_id), Action.LATE_RESULTS_BILLED, ("message_batch", batch_id), after=told)
    return requests
