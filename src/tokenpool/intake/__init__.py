"""Usage that did not pass the gateway."""
