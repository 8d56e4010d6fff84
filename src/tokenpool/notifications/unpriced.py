"""A model without a price was asked for: told to the owners and the operator, once per organization and model.

A client can ask for any name it likes, so an organization hears of a few new ones a day and no more.
"""

import logging
from datetime import timedelta

from django.core.mail import mail_admins
from django.db import close_old_connections, transaction

from tokenpool.kernel import clock
from tokenpool.notifications.models import Notice
from tokenpool.notifications.outbox import raise_notice
from tokenpool.organizations.models import Gate, Organization

logger = logging.getLogger("tokenpool.prices")

KIND = "unknown_model"
MOST_A_DAY = 10


def tell(*, organization_id: str, model: str, nearest: list[str]) -> bool:
    """Tell that *model* has no price; return whether it was new and is told now.

    The operator has the line in the log, and mail where TOKENPOOL_OPERATOR_EMAIL says one.
    """
    close_old_connections()
    key = f"{KIND}:{model}"
    mine = Notice.objects.filter(organization_id=organization_id, kind=KIND)
    since_us = clock.timestamp(clock.now() - timedelta(days=1))
    with transaction.atomic():
        Gate.objects.select_for_update().filter(organization_id=organization_id).first()
        if mine.filter(key=key).exists() or mine.filter(created_at_us__gt=since_us).count() >= MOST_A_DAY:
            return False
        facts = {"model": model, "nearest": nearest}
        raise_notice(organization_id=organization_id, key=key, kind=KIND, facts=facts)
    name = Organization.objects.values_list("name", flat=True).get(id=organization_id)
    sentence = f"{name} asked for {model}, which has no price; the nearest known are {', '.join(nearest)}."
    logger.warning("%s", sentence)
    mail_admins("A model has no price", f"{sentence}\n\ntokenpool prices compare\n", fail_silently=True)
    return True
