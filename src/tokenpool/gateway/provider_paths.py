"""What each path of a provider can cost, known by its first word behind `/v1/`.

A test compares these words with every path of the official SDKs, so a new one is nobody's to list as
pass-through before somebody has looked at its price.
"""

from enum import Enum

from tokenpool.kernel.errors import InvalidInput


class Cost(Enum):
    """What a path of a provider can cost; the words end a sentence."""

    FREE = "it passes only where the operator lists it (pass_through in the settings); ask the operator."
    BILLED = "it can be billed, and no limit would hold for that."
    ACCOUNT = "it administers the operator's account."


_F, _B, _A = Cost.FREE, Cost.BILLED, Cost.ACCOUNT
PATHS: dict[str, dict[str, Cost]] = {
    "anthropic": {
        "agents": _F, "environments": _F, "files": _F, "memory_stores": _F, "skills": _F, "user_profiles": _F,
        "vaults": _F,
        "complete": _B, "deployment_runs": _B, "deployments": _B, "dreams": _B, "messages": _B, "sessions": _B,
        "tunnels": _A,
    },
    "openai": {
        "conversations": _F, "files": _F, "moderations": _F, "uploads": _F,
        "agents": _B, "assistants": _B, "audio": _B, "batches": _B, "chat": _B, "chatkit": _B, "completions": _B,
        "containers": _B, "content_provenance_checks": _B, "decisions": _B, "embeddings": _B, "evals": _B,
        "fine_tuning": _B, "images": _B, "live": _B, "realtime": _B, "responses": _B, "skills": _B, "threads": _B,
        "vaults": _B, "vector_stores": _B, "videos": _B,
        "organization": _A, "projects": _A, "safety": _A, "webhook_endpoints": _A, "webhook_event_types": _A,
    },
}  # fmt: skip


def check_listed(place: str, speaks: str, paths: object) -> tuple[str, ...]:
    """Return the first words of the *paths* that an operator lists as pass-through for a provider of a format.

    Raises:
        InvalidInput: no list, or a path that can be billed, administers the account, or is not known; names *place*.
    """
    if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
        raise InvalidInput(f'{place}: must be a list of paths like ["/v1/files"].', field=place)
    known = PATHS[speaks]
    for path in paths:
        cost = known.get(path.removeprefix("/v1/")) if path.startswith("/v1/") else None
        if cost is None:
            free = ", ".join(f"/v1/{word}" for word, cost in known.items() if cost is Cost.FREE)
            raise InvalidInput(f"{place}: “{path[:80]}” is not known to be free; {free} are.", field=place)
        if cost is not Cost.FREE:
            raise InvalidInput(f"{place}: “{path}” cannot be listed: {cost.value}", field=place)
    return tuple(path.removeprefix("/v1/") for path in paths)
