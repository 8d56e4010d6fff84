"""What the paths of a provider can cost, known by their words behind `/v1/`.

A test compares these words with every path of the official SDKs, so a new one passes nowhere before
somebody has looked at its price.
"""

from collections.abc import Sequence
from enum import Enum

from tokenpool.kernel.errors import InvalidInput


class Cost(Enum):
    """What a path of a provider can cost; the words end a sentence."""

    FREE = "it passes only where the operator lists it (pass_through in the settings); ask the operator."
    BILLED = "it can be billed, and no limit would hold for that."
    ACCOUNT = "it administers the operator's account."
    UNKNOWN = "it is not known whether it can be billed."


# What costs nothing by itself, with the words that stand below: `/v1/files/{id}/content`.
FREE: dict[str, dict[str, set[str]]] = {
    "anthropic": {
        "agents": {"archive", "versions"},
        "environments": {"ack", "archive", "heartbeat", "stop", "work"},
        "files": {"content"},
        "memory_stores": {"archive", "memories", "memory_versions", "redact"},
        "skills": {"content", "versions"},
        "user_profiles": {"action_urls", "enrollment_url"},
        "vaults": {"archive", "credentials", "mcp_oauth_validate"},
    },
    "openai": {
        "conversations": {"items"},
        "files": {"content"},
        "moderations": set(),
        "uploads": {"cancel", "complete", "parts"},
    },
}
BILLED = {
    "anthropic": {"complete", "deployment_runs", "deployments", "dreams", "messages", "sessions"},
    "openai": {
        "agents", "assistants", "audio", "batches", "chat", "chatkit", "completions", "containers",
        "content_provenance_checks", "decisions", "embeddings", "evals", "fine_tuning", "images", "live", "realtime",
        "responses", "skills", "threads", "vaults", "vector_stores", "videos",
    },
}  # fmt: skip
ACCOUNT = {
    "anthropic": {"tunnels"},
    "openai": {"organization", "projects", "safety", "webhook_endpoints", "webhook_event_types"},
}
WORDS = frozenset(word for table in (FREE, BILLED, ACCOUNT) for words in table.values() for word in words)


def cost_of(segments: Sequence[str], speaks: str) -> Cost:
    """Return what a path of these segments can cost at a provider of a format."""
    word = segments[0]
    if word in BILLED[speaks]:
        return Cost.BILLED
    if word in ACCOUNT[speaks]:
        return Cost.ACCOUNT
    below = FREE[speaks].get(word)
    return Cost.FREE if below is not None and below.issuperset(segments[2::2]) else Cost.UNKNOWN


def check_listed(place: str, speaks: str, paths: object) -> tuple[str, ...]:
    """Return the first words of the *paths* that an operator lists as pass-through for a provider of a format.

    Raises:
        InvalidInput: no list, or a path that can be billed, administers the account, or is not known; names *place*.
    """
    if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
        raise InvalidInput(f'{place}: must be a list of paths like ["/v1/files"].', field=place)
    for path in paths:
        start, _, word = path.rpartition("/")
        cost = cost_of([word], speaks) if start == "/v1" else Cost.UNKNOWN
        if cost is not Cost.FREE:
            free = ", ".join(f"/v1/{one}" for one in FREE[speaks])
            raise InvalidInput(
                f"{place}: “{path[:80]}” cannot be listed: {cost.value} Those can be: {free}.", field=place
            )
    return tuple(path.rpartition("/")[2] for path in paths)
