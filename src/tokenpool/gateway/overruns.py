"""What must not happen: a request that cost more than its hold. Billed in truth, logged, told in the audit."""

import logging

from django.db import close_old_connections, transaction

from tokenpool.audit.actions import Action
from tokenpool.organizations import trail
from tokenpool.organizations.models import Gate
from tokenpool.organizations.roles import system

logger = logging.getLogger("tokenpool.gateway")


def tell(organization_id: str, hold_id: str, nano: int) -> None:
    """Log and audit a hold that cost *nano* nano-dollars more than it held."""
    logger.error("hold %s cost %s nano-dollars more than it held", hold_id, nano)
    close_old_connections()
    with transaction.atomic():
        Gate.objects.select_for_update().filter(organization_id=organization_id).first()
        trail.note(system(organization_id), Action.HOLD_OVERRUN, ("hold", hold_id), after={"overrun_nano": nano})
