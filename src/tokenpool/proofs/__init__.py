"""Experiments that try to break the ledger, on a scratch database of the user's own machine."""
