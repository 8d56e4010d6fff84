"""What stands in the body of a call besides text: images, files, sealed items, tools.

Where the API reads content, every kind of part is known or counts as much as the context window holds.
"""

from dataclasses import dataclass
from typing import Any

from tokenpool.gateway.openai.parameters import (
    AUDIO_PARTS,
    CLIENT_TOOLS,
    IMAGE_PARTS,
    SEALED_ITEMS,
    STORED,
    TEXT_ITEMS,
    TEXT_PARTS,
)
from tokenpool.kernel.errors import InvalidInput, Unbounded

IMAGE_TOKENS = 12_000  # 10,000 patches of the largest image, times 1.2
IMAGE_TOKENS_OF = {"gpt-4o-mini": 48_169}  # 2,833 and 5,667 for each of eight tiles


@dataclass(slots=True)
class Content:
    """What was met: images and the bytes of their data, and whether there is anything as large as the context."""

    images: int = 0
    image_bytes: int = 0
    is_opaque: bool = False

    def image_tokens(self, model: str) -> int:
        """Return the largest number of tokens of all images, to *model*."""
        return self.images * IMAGE_TOKENS_OF.get(model, IMAGE_TOKENS)

    def parts(self, content: object, field: str) -> None:
        """Take a content: a text, a part, or a list of parts.

        Raises:
            Unbounded: audio, whose price is another.
        """
        for part in content if isinstance(content, list) else [content]:
            if not isinstance(part, dict):
                continue
            kind = part.get("type")
            if kind in AUDIO_PARTS:
                raise Unbounded(f"{field}: audio is billed at prices of its own and not served here.", field=field)
            if kind in IMAGE_PARTS:
                self._image(part)
            elif kind not in TEXT_PARTS:
                self.is_opaque = True

    def _image(self, part: dict[str, Any]) -> None:
        self.images += 1
        given = part.get("image_url")
        url = given.get("url") if isinstance(given, dict) else given
        if isinstance(url, str) and url.startswith("data:") and url.isascii():
            self.image_bytes += len(url)


def of_messages(messages: object) -> Content:
    """Return what stands in the messages of a chat.

    Raises:
        InvalidInput: they are no list of objects.
        Unbounded: audio.
    """
    found = Content()
    for message in _objects(messages, "messages"):
        if message.get("audio") is not None:
            raise Unbounded("messages: audio is billed at prices of its own and not served here.", field="messages")
        found.parts(message.get("content"), "messages")
    return found


def of_input(given: object) -> Content:
    """Return what stands in the input of a Responses call.

    Raises:
        InvalidInput: it is neither text nor a list of objects.
        Unbounded: audio, something that lies at the provider, or an item of a kind that is not known.
    """
    found = Content()
    for item in [] if isinstance(given, str | None) else _objects(given, "input"):
        kind = item.get("type") or ("message" if "role" in item else "item_reference")
        if kind in STORED:
            raise Unbounded(stored("input", f"an item of type {kind}"), field="input")
        if kind in SEALED_ITEMS:
            found.is_opaque = found.is_opaque or not _is_within(item)
        elif kind not in TEXT_ITEMS:
            raise Unbounded(
                f"input: the cost of an item of type “{str(kind)[:40]}” cannot be bounded beforehand.", field="input"
            )
        for name in ("content", "output"):
            if name in item:
                found.parts(item[name] if item[name] is not None else "", "input")
    return found


def _is_within(item: dict[str, Any]) -> bool:
    """Tell whether a sealed item's text is in the body, if not readable here.

    Sealed reasoning is encrypted text, written in base64: never shorter than its tokens. A compaction is
    not known to be text, and an id alone stands for what lies at the provider.
    """
    sealed = isinstance(item.get("encrypted_content"), str)
    return item["type"] == "reasoning" and (sealed or "id" not in item)


def check_tools(tools: object) -> None:
    """Do nothing if every tool runs at the client.

    Raises:
        InvalidInput: it is no list of objects.
        Unbounded: a tool that runs at the provider; names it.
    """
    for tool in [] if tools is None else _objects(tools, "tools"):
        kind = tool.get("type", "function")
        place = tool.get("environment") if kind == "shell" else None
        is_local = isinstance(place, dict) and place.get("type") == "local"
        if kind in CLIENT_TOOLS or is_local or (kind == "tool_search" and tool.get("execution") == "client"):
            continue
        if kind != "namespace":
            raise Unbounded(
                f"tools: the cost of “{str(kind)[:40]}” cannot be bounded beforehand; leave it out.", field="tools"
            )
        if any(inner.get("type") not in CLIENT_TOOLS for inner in _objects(tool.get("tools"), "tools")):
            raise Unbounded("tools: a namespace may have functions and custom tools only.", field="tools")


def stored(field: str, what: str) -> str:
    """Return the sentence that refuses what lies at the provider."""
    return (
        f"{field}: {what} refers to what lies at the provider, in an account that others share; "
        "send the earlier items in the body instead."
    )


def _objects(given: object, field: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise InvalidInput(f"{field}: must be a list of objects.", field=field)
    return given
