"""The tables of usage. Instants of hot tables are integers: microseconds since 1970, UTC."""

from django.db import models

from tokenpool.kernel import clock
from tokenpool.kernel.period import Month


class Amounts(models.Model):
    """Tokens per class and their cost per class: the columns an event and its rollup share."""

    input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    web_search_requests = models.BigIntegerField(default=0)
    code_execution_seconds = models.BigIntegerField(default=0)
    code_execution_free_seconds = models.BigIntegerField(default=0)
    input_nano = models.BigIntegerField(default=0)
    cache_read_nano = models.BigIntegerField(default=0)
    cache_write_5m_nano = models.BigIntegerField(default=0)
    cache_write_1h_nano = models.BigIntegerField(default=0)
    output_nano = models.BigIntegerField(default=0)
    web_search_nano = models.BigIntegerField(default=0)
    code_execution_nano = models.BigIntegerField(default=0)
    cost_nano = models.BigIntegerField(default=0)  # the sum of the seven above

    class Meta:
        abstract = True


class UsageEvent(Amounts):
    """What one request used of one model: written once with its settlement, never edited.

    A request that ran a second model (an advisor, a fallback) has a second event with `part` 1. A price
    that was wrong is corrected by one more event, which names the one it corrects: no tokens, the
    difference per class, and the version under which the two together are right. An estimate whose usage
    is told late is taken back by one that has its tokens and costs negative; what was used has events with
    the next parts.
    """

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=44)
    request_id = models.CharField(max_length=40)
    part = models.SmallIntegerField(default=0)
    member_id = models.CharField(max_length=40)
    seat_type = models.CharField(max_length=40)
    product = models.CharField(max_length=20)
    cost_center = models.CharField(max_length=80, default="")
    project = models.CharField(max_length=80, default="")
    session_id = models.CharField(max_length=80, default="")
    agent_id = models.CharField(max_length=80, default="")
    group_ids = models.TextField(default="", blank=True)  # the member's when admitted; ascending, space-separated
    model = models.CharField(max_length=80)
    price_version = models.CharField(max_length=120)
    batch = models.BooleanField(default=False)
    us_only = models.BooleanField(default=False)
    fast = models.BooleanField(default=False)
    month = models.CharField(max_length=7)
    admitted_at_us = models.BigIntegerField()
    settled_at_us = models.BigIntegerField()
    flags = models.CharField(max_length=120, default="", blank=True)  # estimated, client_gone, …; space-separated
    corrects = models.CharField(max_length=44, null=True)  # noqa: DJ001 - the event that was wrong; null: none
    billed_in = models.CharField(max_length=7, null=True)  # noqa: DJ001 - month whose invoice adjusts; null: its own

    class Meta:
        indexes = [
            models.Index(fields=["organization_id", "admitted_at_us", "member_id"], name="events_by_time"),
            models.Index(
                fields=["organization_id", "billed_in"], condition=models.Q(billed_in__isnull=False), name="adjustments"
            ),
        ]

    @classmethod
    def of_month(cls, organization_id: str, month: Month) -> "models.QuerySet[UsageEvent]":
        """Return an organization's events of the requests that *month* admitted."""
        since, until = clock.timestamp(month.start), clock.timestamp(month.end)
        return cls.objects.filter(organization_id=organization_id, admitted_at_us__gte=since, admitted_at_us__lt=until)


class DailyUsage(Amounts):
    """The sum of a UTC day's events per member and dimension; moved in the event's transaction."""

    pk = models.CompositePrimaryKey(
        "organization_id", "day", "member_id", "seat_type", "product", "cost_center", "model"
    )
    organization_id = models.CharField(max_length=40)
    day = models.CharField(max_length=10)
    member_id = models.CharField(max_length=40)
    seat_type = models.CharField(max_length=40)
    product = models.CharField(max_length=20)
    cost_center = models.CharField(max_length=80, default="")
    model = models.CharField(max_length=80)
    requests = models.BigIntegerField(default=0)


class FreeTime(models.Model):
    """How much of a month's free time of server tools an organization has used; moved with its events."""

    pk = models.CompositePrimaryKey("organization_id", "month")
    organization_id = models.CharField(max_length=40)
    month = models.CharField(max_length=7)
    used_seconds = models.BigIntegerField()
