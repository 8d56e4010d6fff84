"""The tables of notices: the notice is written in the transaction of its cause, delivery follows."""

from django.db import models


class Notice(models.Model):
    """Something happened that people should hear of, once. Its key makes it unique."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    key = models.CharField(max_length=160)  # e.g. spl_…:member:user_…:2026-11:90
    kind = models.CharField(max_length=32)
    member_id = models.CharField(max_length=40, default="", blank=True)  # the member it is about
    facts = models.TextField()  # JSON: what the sentence is made of, in every language
    silent = models.BooleanField(default=False)  # a lower threshold passed in the same step
    created_at_us = models.BigIntegerField()
    addressed_at_us = models.BigIntegerField(null=True)  # when the courier wrote its deliveries

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization_id", "key"], name="notice_once")]
        indexes = [
            models.Index(fields=["created_at_us"], condition=models.Q(addressed_at_us=None), name="notices_to_address")
        ]


class Delivery(models.Model):
    """One notice on its way to one person over one channel: the outbox and its log."""

    pk = models.CompositePrimaryKey("organization_id", "notice_id", "person_id", "channel")
    organization_id = models.CharField(max_length=40)
    notice_id = models.CharField(max_length=40)
    person_id = models.CharField(max_length=40)
    channel = models.CharField(max_length=8)  # bell, email
    state = models.CharField(max_length=8)  # waiting, sent, failed
    attempts = models.SmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)  # bell only
    error = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["person_id", "channel", "read_at"], name="bell_of_person"),
            models.Index(fields=["next_attempt_at"], condition=models.Q(state="waiting"), name="deliveries_waiting"),
        ]
