"""The tables of spend limits, accounts and holds. A scope reads as in `hierarchy`."""

from django.db import models


class SpendLimit(models.Model):
    """From this instant on the limit was this. The newest row of (scope, basis, window) stands."""

    pk = models.CompositePrimaryKey("organization_id", "scope", "basis", "window", "id")
    organization_id = models.CharField(max_length=40)
    scope = models.CharField(max_length=60)
    basis = models.CharField(max_length=4)  # pool, each
    window = models.CharField(max_length=5)  # month, day, week
    id = models.CharField(max_length=40)
    state = models.CharField(max_length=10)  # amount, unlimited, not_set
    amount_nano = models.BigIntegerField(null=True)  # null unless state is amount
    exception = models.BooleanField(default=False)
    set_at = models.DateTimeField()
    set_by = models.CharField(max_length=254)
    reason = models.CharField(max_length=200, default="", blank=True)


class Account(models.Model):
    """What a scope has spent and holds in a window: `spent` in events, `held` in open holds."""

    pk = models.CompositePrimaryKey("organization_id", "scope", "window_key")
    organization_id = models.CharField(max_length=40)
    scope = models.CharField(max_length=60)
    window_key = models.CharField(max_length=10)
    spent_nano = models.BigIntegerField(default=0)
    held_nano = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(spent_nano__gte=0), name="spent_not_negative"),
            models.CheckConstraint(condition=models.Q(held_nano__gte=0), name="held_not_negative"),
        ]


class Hold(models.Model):
    """A reserved upper bound of one request's cost. Open until it ends exactly once."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    state = models.CharField(max_length=10)  # reserved, in_doubt; ended: settled, void
    member_id = models.CharField(max_length=40)
    seat_type = models.CharField(max_length=40)
    product = models.CharField(max_length=20)
    cost_center = models.CharField(max_length=80, default="")
    project = models.CharField(max_length=80, default="")
    session_id = models.CharField(max_length=80, default="")
    agent_id = models.CharField(max_length=80, default="")
    group_ids = models.TextField(default="", blank=True)  # pinned at admission; ascending, space-separated
    model = models.CharField(max_length=80)
    price_version = models.CharField(max_length=120)
    amount_nano = models.BigIntegerField()  # what it holds now; trimmed at message_start, never raised
    reserved_nano = models.BigIntegerField()  # what it held at admission
    max_output = models.BigIntegerField()
    admitted_at_us = models.BigIntegerField()
    lease_until_us = models.BigIntegerField()
    evidence = models.TextField(default="", blank=True)  # the attempt journal: JSON, see gateway/journal
    settled_nano = models.BigIntegerField(null=True)
    ended_at_us = models.BigIntegerField(null=True)
    end_reason = models.CharField(max_length=60, default="", blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["organization_id", "lease_until_us"],
                condition=models.Q(ended_at_us=None),
                name="open_holds",
            )
        ]


class LastRefusal(models.Model):
    """The last time a limit refused a member, for `explain`; replaced by the next."""

    pk = models.CompositePrimaryKey("organization_id", "member_id")
    organization_id = models.CharField(max_length=40)
    member_id = models.CharField(max_length=40)
    refused_at_us = models.BigIntegerField()
    limit_id = models.CharField(max_length=40)
    scope = models.CharField(max_length=60)
    basis = models.CharField(max_length=4)
    window = models.CharField(max_length=5)
    limit_nano = models.BigIntegerField()
    spent_nano = models.BigIntegerField()
    held_nano = models.BigIntegerField()
    asked_nano = models.BigIntegerField()
    model = models.CharField(max_length=80)


class MessageBatch(models.Model):
    """Requests that were sent to a provider together, and how far it has come with them."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)  # what its client knows it by
    member_id = models.CharField(max_length=40)
    upstream = models.CharField(max_length=80)
    upstream_id = models.CharField(max_length=200, default="", blank=True)  # empty until the provider has told it
    state = models.CharField(max_length=12)  # sending, unconfirmed, open; over: settled, refused
    requests = models.IntegerField()
    created_at_us = models.BigIntegerField()
    look_at_us = models.BigIntegerField(null=True)  # when to ask the provider next; null: never again
    deleted_at_us = models.BigIntegerField(null=True)
    document = models.TextField(default="", blank=True)  # what the provider said of it last

    class Meta:
        indexes = [
            models.Index(fields=["look_at_us"], condition=models.Q(look_at_us__isnull=False), name="batches_to_look_at")
        ]


class BatchRequest(models.Model):
    """A hold that belongs to a message batch, and what its client calls it."""

    pk = models.CompositePrimaryKey("organization_id", "hold_id")
    organization_id = models.CharField(max_length=40)
    hold_id = models.CharField(max_length=40)
    batch_id = models.CharField(max_length=40)
    custom_id = models.CharField(max_length=64)

    class Meta:
        indexes = [models.Index(fields=["organization_id", "batch_id"], name="requests_of_batch")]
