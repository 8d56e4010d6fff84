"""A PostgreSQL of the tests' own, in a temporary folder with a short name: its socket lies there."""

import tempfile
from pathlib import Path

from tokenpool.proofs import server


class Server(server.Server):
    """A running server; `url(name)` is the address of one of its databases."""

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="tokenpool-postgres-", dir="/tmp")))
