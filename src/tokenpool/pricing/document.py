"""A YAML file read so that no mistake hides: a name stands once, and every mapping knows its line.

YAML itself lets the second of two equal names win without a word, and turns 1.10 into a float; in a
price file both are a wrong bill. Here a quoted value is a text; a plain one is a whole number, a day,
true, false, nothing or a word. No number with a point, no tag, no anchor.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import yaml

from tokenpool.kernel.errors import InvalidInput

DEEPEST = 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events, ten times as fast where libyaml is
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_POINT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)  # after the whole ones
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


class Lined(dict[str, Any]):
    """A mapping, and the line of the file on which it begins (1 is the first)."""

    line = 0


def read(path: Path) -> object:
    """Return what the YAML file at *path* says, its mappings as `Lined`.

    Raises:
        InvalidInput: it cannot be read, is not YAML, or has a name twice; names the file, the line and the reason.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path.name}, file: cannot be read as UTF-8 text: {error}.", field=path.name) from error
    return parse(text, path.name)


def parse(text: str, name: str) -> object:
    """Return what *text* says; *name* is the file's name in errors.

    Raises:
        InvalidInput: it is not YAML, or has a name twice; names the file, the line and the reason.
    """
    try:
        return _Builder(name).build(yaml.parse(text, _LOADER))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InvalidInput(f"{name}, line {line}: {error.problem}.", field=name) from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{name}, file: {error}.", field=name) from error


class _Builder:
    """Builds the value of one document from its events, without recursion."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.line = 0
        self.open: list[Lined | list[Any]] = []
        self.names: list[str | None] = []  # of each open mapping: the name whose value comes next
        self.root: object = None

    def build(self, events: Iterator[yaml.Event]) -> object:
        documents = 0
        for event in events:
            self.line = event.start_mark.line + 1 if event.start_mark else self.line
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.refuse("a second document begins")
            elif isinstance(event, yaml.NodeEvent):
                self.node(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self.open.pop()
                self.names.pop()
        return self.root

    def node(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None or getattr(event, "tag", None) not in (None, "!"):
            self.refuse("anchors, references and tags are not read")
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event)
            return
        found: Lined | list[Any] = Lined() if isinstance(event, yaml.MappingStartEvent) else []
        if isinstance(found, Lined):
            found.line = self.line
        self.place(found)
        self.open.append(found)
        self.names.append(None)
        if len(self.open) > DEEPEST:
            self.refuse("is nested too deeply")

    def scalar(self, event: yaml.ScalarEvent) -> None:
        value = self.plain(event.value) if event.implicit[0] else event.value
        inside = self.open[-1] if self.open else None
        if not isinstance(inside, Lined) or self.names[-1] is not None:
            self.place(value)
            return
        if not isinstance(value, str):
            self.refuse(f"the name {event.value} is not a text")
        if value in inside:
            self.refuse(f"“{value}” stands twice")
        self.names[-1] = value

    def place(self, value: object) -> None:
        """Put *value* where it stands: into the open list, under the awaited name, or at the top."""
        if not self.open:
            self.root = value
            return
        inside, name = self.open[-1], self.names[-1]
        if isinstance(inside, list):
            inside.append(value)
        elif name is None:
            self.refuse("a name must be a text")
        else:
            inside[name] = value
            self.names[-1] = None

    def plain(self, text: str) -> str | int | bool | date | None:
        if text in _WORDS:
            return _WORDS[text]
        if _WHOLE.fullmatch(text):
            return int(text)
        if _DAY.fullmatch(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                self.refuse(f"there is no day {text}")
        if _POINT.fullmatch(text):
            self.refuse(f'a number with a point is a text here: write "{text}"')
        return text

    def refuse(self, reason: str) -> NoReturn:
        raise InvalidInput(f"{self.name}, line {self.line}: {reason}.", field=self.name)
