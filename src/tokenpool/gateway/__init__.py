"""A call goes through and the money follows it."""
