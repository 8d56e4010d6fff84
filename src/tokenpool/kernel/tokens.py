"""The disjoint token classes in which all usage is counted, whoever the provider is."""

from dataclasses import dataclass, fields

TOKEN_CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens per class (thinking is part of output) and counters of billable server tools."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    web_search_requests: int = 0
    code_execution_seconds: int = 0

    @property
    def prompt(self) -> int:
        """All tokens on the input side; prompt-length bands are decided by it."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    def __add__(self, other: "TokenCounts") -> "TokenCounts":
        return TokenCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __neg__(self) -> "TokenCounts":
        return TokenCounts(*(-getattr(self, f.name) for f in fields(self)))
