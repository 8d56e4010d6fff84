"""Labelled points of a serving process: there it is killed as `kill -9` does it, the n-th time it passes.

The product knows nothing of them. In the process that is to die, the function beside the point is
wrapped from outside; a process that serves people has no such wrapping and pays nothing.
"""

import asyncio
import importlib
import os
import signal
from collections.abc import Callable
from functools import wraps
from itertools import count
from typing import Any, NamedTuple

Passes = Callable[[tuple[Any, ...], dict[str, Any]], bool]
_STORES = "tokenpool.kernel.sqlite:SqliteStore", "tokenpool.kernel.postgres:PostgresStore"
_SUBMIT = "tokenpool.kernel.group_commit:GroupCommit.submit"


def _always(_args: tuple[Any, ...], _named: dict[str, Any]) -> bool:
    return True


def _a_message(args: tuple[Any, ...], _named: dict[str, Any]) -> bool:
    return bool(args[2] == "/v1/messages")


def _settled(args: tuple[Any, ...], _named: dict[str, Any]) -> bool:
    return bool(args[2] == "settled")


class Point(NamedTuple):
    """Before or after a call of one of *functions*; *most* is how often it may be passed before the kill."""

    after: bool
    functions: tuple[str, ...]
    most: int = 4
    passes: Passes = _always
    needs: str = ""  # what the round must bring about: `away`, `waiting`, `doubt`, `adrift`, `late`, `mail`, `month`


_DRIVEN = ("tokenpool.kernel.sqlite:SqliteStore._perform", "tokenpool.kernel.postgres:_drive")
_SEND = ("tokenpool.gateway.upstream:Upstream.send",)
_SETTLE = ("tokenpool.gateway.settle:Attempt.settle",)
_MAIL = ("django.core.mail:EmailMessage.send",)
_ISSUE = ("tokenpool.invoicing.close:_issue",)
_CREATION = "tokenpool.gateway.batches.creation"
_ADOPT = (f"{_CREATION}:_adopt",)
_RESULTS = ("tokenpool.gateway.batches.ending:Results.settle",)
_ROWS = "tokenpool.limits.message_batches"
_LATE = ("tokenpool.invoicing.late:bill",)

POINTS = {
    "transaction begun": Point(False, _DRIVEN, most=60),
    "read and decided, nothing written": Point(False, ("tokenpool.limits.batch:Batch.writes",), most=40),
    "written, before the commit": Point(True, _DRIVEN, most=60),
    "committed, before the answer": Point(True, tuple(f"{store}.run" for store in _STORES), most=60),
    "held, before the provider sees a byte": Point(False, _SEND, passes=_a_message),
    "the provider has answered": Point(True, _SEND, passes=_a_message),
    "message_start, before its evidence": Point(False, ("tokenpool.gateway.journal:evidence_of",)),
    "evidence handed in": Point(
        True, ("tokenpool.gateway.journal:Journal.follow",), most=20, passes=lambda args, _: args[1].started
    ),
    "last event, before the settlement": Point(False, _SETTLE),
    "settled, before the client's end": Point(True, _SETTLE),
    "journal: before its file": Point(
        False, ("tokenpool.gateway.spool:_write",), passes=lambda args, _: args[0].name.startswith("end_"), needs="away"
    ),
    "journal: before the rename": Point(False, ("pathlib:Path.rename",), needs="away"),
    "journal: before the folder's fsync": Point(
        False, ("tokenpool.gateway.spool:_sync",), needs="away"
    ),
    "journal: before the client's end": Point(True, ("tokenpool.gateway.spool:Spool.write",), needs="away"),
    "replay: committed, its file still there": Point(
        False, ("pathlib:Path.unlink",), most=1, passes=lambda args, _: args[0].name.startswith("end_"), needs="waiting"
    ),
    "in doubt, before its estimate": Point(
        False, ("tokenpool.gateway.resolver:Resolver._settlement",), most=1, needs="doubt"
    ),
    "estimated": Point(
        True, (_SUBMIT,), most=1, passes=lambda args, _: getattr(args[2], "if_in_doubt", False), needs="doubt"
    ),
    "batch: held, before the provider is asked": Point(False, (f"{_CREATION}:send",), most=2),
    "batch: taken, its confirmation not written": Point(False, _ADOPT, most=2),
    "batch: its confirmation written, before its caller knows": Point(True, _ADOPT, most=2),
    "batch: not confirmed, before that is written": Point(False, (f"{_ROWS}:doubt",), most=1),
    "batch: refused, before its holds are given back": Point(False, (f"{_CREATION}:give_back",), most=1),
    "batch: results read, before they are settled": Point(False, _RESULTS),
    "batch: some results settled": Point(True, _RESULTS),
    "batch: all results settled, before it is over": Point(False, (f"{_ROWS}:finish",), most=2, passes=_settled),
    "batch: over": Point(True, (f"{_ROWS}:finish",), most=2, passes=_settled),
    "batch: deleted at the provider, not here": Point(False, (f"{_ROWS}:delete",), most=2),
    "batch: found again, before that is written": Point(
        False, (f"{_ROWS}:adopt",), most=1, passes=lambda args, _: args[4] == 0, needs="adrift"
    ),
    "batch: never arrived, its holds being given back": Point(
        True, ("tokenpool.gateway.batches.ending:void",), most=1, passes=lambda args, _: "arrived" in args[3],
        needs="adrift",
    ),
    "batch: late results, before they are billed": Point(False, _LATE, most=2, needs="late"),
    "batch: late results written, before the commit": Point(
        True, ("tokenpool.invoicing.corrections:write",), most=2, needs="late"
    ),
    "batch: late results billed": Point(True, _LATE, most=2, needs="late"),
    "mail claimed, before it is sent": Point(False, _MAIL, most=2, needs="mail"),
    "mail sent, before it is written down": Point(True, _MAIL, most=2, needs="mail"),
    "month: before its number": Point(False, _ISSUE, most=2, needs="month"),
    "month: number taken, no invoice": Point(
        True, ("tokenpool.invoicing.models:InvoiceSeries.save",), most=2,
        passes=lambda _, named: "update_fields" in named, needs="month",
    ),
    "month: invoice written, before the commit": Point(True, _ISSUE, most=2, needs="month"),
    "month: closed": Point(True, ("tokenpool.invoicing.close:close_month",), most=2, needs="month"),
}  # fmt: skip


def arm(label: str, nth: int) -> None:
    """Let this process be killed the *nth* time it passes the point."""
    point, passed = POINTS[label], count(1)

    def pass_by(args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if point.passes(args, named) and next(passed) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    for function in point.functions:
        wrap(function, None if point.after else pass_by, pass_by if point.after else None)


Hook = Callable[[tuple[Any, ...], dict[str, Any]], None]


def wrap(function: str, before: Hook | None, after: Hook | None = None) -> None:
    """Put hooks around a function, `module:name` or `module:Class.name`, in this process."""
    owner, name = found(function)
    original = getattr(owner, name)

    @wraps(original)
    async def awaited(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it is
        if before:
            before(args, named)
        answer = await original(*args, **named)
        if after:
            after(args, named)
        return answer

    @wraps(original)
    def called(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it is
        if before:
            before(args, named)
        answer = original(*args, **named)
        if after:
            after(args, named)
        return answer

    setattr(owner, name, awaited if asyncio.iscoroutinefunction(original) else called)


def put(function: str, value: object) -> None:
    """Replace a name in this process."""
    owner, name = found(function)
    setattr(owner, name, value)


def found(function: str) -> tuple[Any, str]:
    """Return what has the function, a module or a class, and its name there."""
    module, _, path = function.partition(":")
    owner, *names = importlib.import_module(module), *path.split(".")
    for name in names[:-1]:
        owner = getattr(owner, name)
    return owner, names[-1]
