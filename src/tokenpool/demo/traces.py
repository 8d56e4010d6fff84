"""Reading recorded public LLM traffic: token counts, and cache reads and writes from prompt-block hashes."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_TOKENS = 512
FILES = {
    "chat": "AzureLLMInferenceTrace_conv.csv",
    "api": "AzureLLMInferenceTrace_code.csv",
    "claude_code": "mooncake_conversation_trace.jsonl",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded request: its product in our terms, and its tokens by class."""

    product: str
    input: int
    cache_read: int
    cache_write: int
    output: int


def read(folder: Path, product: str) -> Iterator[Recorded]:
    """Yield the recorded requests that stand for *product*, in their order.

    The conversations with block hashes stand for Claude Code: equal leading blocks that were seen
    before are cache reads, further whole blocks are cache writes, the rest is plain input.
    """
    path = folder / FILES[product]
    yield from _hashed(path, product) if path.suffix == ".jsonl" else _plain(path, product)


def _plain(path: Path, product: str) -> Iterator[Recorded]:
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            yield Recorded(product, max(1, int(row["ContextTokens"])), 0, 0, max(1, int(row["GeneratedTokens"])))


def _hashed(path: Path, product: str) -> Iterator[Recorded]:
    seen: set[int] = set()
    with path.open() as file:
        for line in file:
            row = json.loads(line)
            blocks: list[int] = row["hash_ids"]
            hits = next((i for i, block in enumerate(blocks) if block not in seen), len(blocks))
            seen.update(blocks)
            whole = row["input_length"] // BLOCK_TOKENS
            read_tokens = min(hits, whole) * BLOCK_TOKENS
            written = (whole - min(hits, whole)) * BLOCK_TOKENS
            rest = row["input_length"] - read_tokens - written
            yield Recorded(product, max(1, rest), read_tokens, written, max(1, row["output_length"]))
