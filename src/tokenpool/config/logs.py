"""What is written to the log: one line per event, never a body, a key or a prompt."""

import logging
import sys
from typing import Any

from tokenpool.kernel.errors import TokenpoolError


def configure(_: dict[str, Any] | None = None) -> None:
    """Send warnings and our own notices to standard error as plain lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tokenpool").setLevel(logging.INFO)
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").addFilter(_unexpected)


def _unexpected(record: logging.LogRecord) -> bool:
    """Leave out our own errors that the server repeats with a traceback: a stream that the provider broke off."""
    return not (record.exc_info and isinstance(record.exc_info[1], TokenpoolError))
