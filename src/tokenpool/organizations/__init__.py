"""Who belongs, on which seat, with which role and key."""
