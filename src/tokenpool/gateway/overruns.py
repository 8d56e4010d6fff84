"""What must not happen: a request that cost more than its hold. Billed in truth, told in the audit."""

from django.db import close_old_connections, transaction

from tokenpool.audit.actions import Action
from tokenpool.organizations import trail
from tokenpool.organizations.models import Gate
from tokenpool.organizations.roles import system


def tell(organization_id: str, hold_id: str, nano: int) -> None:
    """Write an audit event of a hold that cost *nano* nano-dollars more than it held."""
    close_old_connections()
    with transaction.atomic():
        Gate.objects.select_for_update().filter(organization_id=organization_id).first()
        trail.note(system(organization_id), Action.HOLD_OVERRUN, ("hold", hold_id), after={"overrun_nano": nano})
