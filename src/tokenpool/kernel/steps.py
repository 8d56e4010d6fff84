"""Long work in steps: each runs in Django's thread, and the event loop is free between them."""

from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

from asgiref.sync import sync_to_async

Step = TypeVar("Step")


async def each(steps: Iterator[Step]) -> AsyncIterator[Step]:
    """Yield what *steps* yields, one at a time."""

    def step() -> Step | None:
        return next(steps, None)

    while (found := await sync_to_async(step)()) is not None:
        yield found
