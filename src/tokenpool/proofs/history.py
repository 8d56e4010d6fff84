"""The recorded history of a ledger."""

from tokenpool.limits.operations import Alive, Done, Ended, Held, Refusal, Stale, Unknown


def said(answer: object) -> str:
    """Return an answer of the ledger in the model's words."""
    match answer:
        case Held():
            return "held"
        case Refusal():
            return f"refused {answer.limit.left_nano}"
        case Done():
            return f"done {answer.overrun_nano}"
        case Ended():
            return answer.state
        case Alive() | Unknown() | Stale():
            return type(answer).__name__.lower()
    raise TypeError(answer)
