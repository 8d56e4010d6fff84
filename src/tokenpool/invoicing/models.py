"""The tables of invoices. A document is stored as the bytes that were issued and never changes."""

from django.db import models


class MonthClose(models.Model):
    """How the closing of a month ended: final, or parked with a reason."""

    pk = models.CompositePrimaryKey("organization_id", "month")
    organization_id = models.CharField(max_length=40)
    month = models.CharField(max_length=7)
    state = models.CharField(max_length=8)  # final, parked
    reason = models.CharField(max_length=400, default="", blank=True)
    changed_at = models.DateTimeField()


class InvoiceSeries(models.Model):
    """The last number given out: raised inside the closing transaction, under the lock, so numbers have no gaps."""

    organization_id = models.CharField(max_length=40, primary_key=True)
    last_number = models.BigIntegerField(default=0)


class Invoice(models.Model):
    """One closed document: its canonical JSON as issued and the hash of those bytes."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    month = models.CharField(max_length=7)
    number = models.BigIntegerField()
    total_nano = models.BigIntegerField()
    total_cents = models.BigIntegerField()
    document = models.TextField()
    sha256 = models.CharField(max_length=64)
    issued_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization_id", "month"], name="one_invoice_a_month"),
            models.UniqueConstraint(fields=["organization_id", "number"], name="number_once"),
        ]
