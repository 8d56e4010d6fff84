"""The garbage collector of a server: what the start has made is set aside, and young objects get time to die.

By default every 700 new objects bring a collection and now and then one of everything Django has
loaded: a fifth of the ledger's time, and pauses of tens of milliseconds. What a request leaves
behind dies by its reference counts; the collector only has to find the cycles among it.
"""

import gc

YOUNG, MIDDLE, OLD = 50_000, 20, 50  # objects, collections of the young, collections of the middle


def calm() -> None:
    """Set aside what is there now and collect rarely from here on; call it once, when the start is done."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
