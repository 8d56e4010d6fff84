"""The allow-lists: every parameter of the official SDK is classified, so a new one cannot cost money unseen."""

import typing

import pytest
from openai.types import embedding_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params, response_input_item_param, tool_param

from tokenpool.gateway.openai.parameters import (
    CHAT,
    CLIENT_TOOLS,
    EMBEDDINGS,
    RESPONSES,
    SEALED_ITEMS,
    STORED,
    TEXT_ITEMS,
    TIERS,
)
from tokenpool.gateway.parameters import Class

REFUSED_TOOLS = {
    "file_search", "web_search", "web_search_2025_08_26", "mcp", "code_interpreter", "programmatic_tool_calling",
    "image_generation", "web_search_preview", "web_search_preview_2025_03_11",
}  # fmt: skip
PARTLY_SERVED_TOOLS = {"shell", "namespace", "tool_search"}
REFUSED_ITEMS = {
    "file_search_call", "web_search_call", "tool_search_call", "tool_search_output", "additional_tools",
    "configuration_update", "image_generation_call", "code_interpreter_call", "mcp_list_tools",
    "mcp_approval_request", "mcp_approval_response", "mcp_call", "compaction_trigger", "program", "program_output",
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "kinds"),
    [
        (
            CHAT,
            [
                completion_create_params.CompletionCreateParamsBase,
                completion_create_params.CompletionCreateParamsStreaming,
            ],
        ),
        (
            RESPONSES,
            [response_create_params.ResponseCreateParamsBase, response_create_params.ResponseCreateParamsStreaming],
        ),
        (EMBEDDINGS, [embedding_create_params.EmbeddingCreateParams]),
    ],
)
def test_every_parameter_of_the_sdk_is_classified(table: dict[str, Class], kinds: list[type]) -> None:
    """Of the version that is installed, and no more than it has."""
    known = {name for kind in kinds for name in kind.__annotations__}

    assert known == table.keys()


def test_every_tool_of_the_sdk_is_served_or_refused() -> None:
    """A kind that is new here fails this test and is refused until somebody knows its price."""
    assert set(CLIENT_TOOLS) | PARTLY_SERVED_TOOLS | REFUSED_TOOLS == types_of(tool_param.ToolParam)


def test_every_item_of_the_sdk_is_served_or_refused() -> None:
    """The same of what may stand in an input."""
    served = {*TEXT_ITEMS, *SEALED_ITEMS, "item_reference"}

    assert served | REFUSED_ITEMS == types_of(response_input_item_param.ResponseInputItemParam)
    assert "item_reference" in STORED


def test_every_tier_of_the_sdk_is_served_or_refused() -> None:
    """Scale is paid in advance, ultrafast has no price."""
    known = typing.get_type_hints(response_create_params.ResponseCreateParamsBase)["service_tier"]

    assert {*TIERS, "scale", "ultrafast"} == literals(known)


def types_of(union: object) -> set[str]:
    """Return the values of `type` of every member of a union of TypedDicts."""
    found: set[str] = set()
    for member in typing.get_args(union):
        hints = typing.get_type_hints(member)
        found |= {one for one in literals(hints["type"]) if isinstance(one, str)}
    return found


def literals(hint: object) -> set[object]:
    """Return every literal value within *hint*."""
    if typing.get_origin(hint) is typing.Literal:
        return set(typing.get_args(hint))
    if hint is type(None):
        return {None}
    return {value for inner in typing.get_args(hint) for value in literals(inner)}
