"""How often the provider may sample for one request: tools that run there and read, summaries it writes.

The provider's documents say: a loop of tools ends after ten samplings; each sampling reads the whole
prompt again and may write `max_tokens`; a compaction edit is looked at before each sampling and adds
one more when the prompt has reached the trigger, by the same model.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokenpool.gateway.parameters import (
    CLEARING_EDITS,
    CLIENT_TOOLS,
    COMPACTING_EDITS,
    DEFAULT_TRIGGER_TOKENS,
    MOST_SAMPLINGS,
    READING_TOOLS,
    SEARCHING_TOOLS,
    SIMPLE_TOOLS,
)
from tokenpool.kernel.errors import InvalidInput, Unbounded

MOST_USES = 100


@dataclass(frozen=True, slots=True)
class Samplings:
    """At most so many samplings for the answer, searches, and from which prompt length on a summary before each."""

    rounds: int = 1
    searches: int = 0
    trigger_tokens: int | None = None

    def summaries(self, prompt_tokens: int) -> int:
        """Return how many summaries can be written when the prompt has at most *prompt_tokens*."""
        reached = self.trigger_tokens is not None and (self.rounds > 1 or prompt_tokens >= self.trigger_tokens)
        return self.rounds if reached else 0


def samplings_of(body: dict[str, Any], inline_tools: Iterable[object]) -> Samplings:
    """Return the samplings that a request can cause by its tools, wherever it defines them, and its context edits.

    Raises:
        InvalidInput: tools or edits of the wrong kind; names the field.
        Unbounded: a tool or an edit whose cost cannot be bounded; names it.
    """
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise InvalidInput("tools: must be a list.", field="tools")
    searches, uses, loops = 0, 0, False
    for tool in (*tools, *inline_tools):
        kind = _kind(tool)
        if kind.startswith(CLIENT_TOOLS):
            continue
        most = _most_uses(kind, tool)
        uses += most
        loops = loops or kind not in SIMPLE_TOOLS
        searches += most if kind.startswith(SEARCHING_TOOLS) else 0
    simple = 2 + uses if uses else 1  # and one more that hears that there are no more uses
    return Samplings(MOST_SAMPLINGS if loops else min(simple, MOST_SAMPLINGS), searches, _trigger(body))


def _kind(tool: object) -> str:
    if not isinstance(tool, dict):
        raise InvalidInput("tools: every tool must be an object.", field="tools")
    kind = str(tool.get("type") or "custom")
    if not kind.startswith(CLIENT_TOOLS + READING_TOOLS):
        raise Unbounded(f"tools: the cost of “{kind[:40]}” cannot be bounded beforehand; leave it out.", field="tools")
    return kind


def _most_uses(kind: str, tool: Any) -> int:  # noqa: ANN401 - an object of the body
    """Return how often a tool can be used; a search has a price and must say so, a fetch is bounded by the loop."""
    uses = tool.get("max_uses")
    if uses is None and not kind.startswith(SEARCHING_TOOLS):
        return MOST_SAMPLINGS
    if type(uses) is not int or not 1 <= uses <= MOST_USES:
        raise Unbounded(
            f"tools: {kind[:40]} needs max_uses from 1 to {MOST_USES}, so that its cost is bounded.", field="tools"
        )
    return uses


def _trigger(body: dict[str, Any]) -> int | None:
    """Return the shortest prompt, in tokens, at which a compaction edit acts, or None without one."""
    management = body.get("context_management")
    if management is None:
        return None
    edits = management.get("edits") or [] if isinstance(management, dict) else None
    if not isinstance(edits, list):
        raise InvalidInput("context_management: must be an object with a list of edits.", field="context_management")
    triggers = []
    for edit in edits:
        kind = str(edit.get("type")) if isinstance(edit, dict) else ""
        if kind.startswith(COMPACTING_EDITS):
            told = edit.get("trigger") or {"value": DEFAULT_TRIGGER_TOKENS}
            value = told.get("value") if isinstance(told, dict) else None
            triggers.append(value if type(value) is int else 0)
        elif not kind.startswith(CLEARING_EDITS):
            sentence = f"context_management: the edit “{kind[:40]}” may bill more than is held; leave it out."
            raise Unbounded(sentence, field="context_management")
    return min(triggers, default=None)
