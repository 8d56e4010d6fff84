"""Everything that can change, by name; the documentation lists exactly these."""

from enum import StrEnum


class Action(StrEnum):
    """The type of an audit event."""

    ORGANIZATION_CREATED = "organization_created"
    ORGANIZATION_SETTING_CHANGED = "organization_setting_changed"
    HIPAA_READY_ENABLED = "hipaa_ready_enabled"
    MEMBER_ADDED = "member_added"
    MEMBER_REMOVED = "member_removed"
    MEMBER_ROLE_CHANGED = "member_role_changed"
    SEAT_TYPE_ASSIGNED = "seat_type_assigned"
    GROUP_CREATED = "group_created"
    GROUP_CHANGED = "group_changed"
    GROUP_DELETED = "group_deleted"
    GROUP_MEMBERS_ADDED = "group_members_added"
    GROUP_MEMBERS_REMOVED = "group_members_removed"
    API_KEY_CREATED = "api_key_created"
    API_KEY_REVOKED = "api_key_revoked"
    DEVICE_APPROVED = "device_approved"
    DEVICE_DENIED = "device_denied"
    SPEND_LIMIT_SET = "spend_limit_set"
    SPEND_LIMIT_REMOVED = "spend_limit_removed"
    OWN_PRICE_SET = "own_price_set"
    USAGE_RERATED = "usage_rerated"
    INVOICE_CLOSED = "invoice_closed"
    INVOICE_PARKED = "invoice_parked"
    HOLD_OVERRUN = "hold_overrun"
    LIST_PRICE_ADDED = "list_price_added"
    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
