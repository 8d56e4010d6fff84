"""Which requests were made in a message batch, for those who look at requests one by one."""

from collections.abc import Iterable

from tokenpool.kernel import ids
from tokenpool.limits.models import BatchRequest


def of_requests(organization_id: str, request_ids: Iterable[str]) -> dict[str, BatchRequest]:
    """Return the batches that requests were made in and what they are called there, by request; others are absent."""
    hold_ids = [ids.twin("hold", request_id) for request_id in request_ids]
    rows = BatchRequest.objects.filter(organization_id=organization_id, hold_id__in=hold_ids)
    return {ids.twin("req", row.hold_id): row for row in rows}
