"""The allow-list: whatever the official SDK can send is classified, so nothing new can cost money unseen."""

import types
import typing
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from anthropic.types import message_create_params
from anthropic.types.beta import beta_content_block_param, beta_context_management_config_param, beta_tool_union_param
from anthropic.types.beta import message_create_params as beta_params

from tokenpool.gateway import parameters
from tokenpool.gateway.parameters import MEDIA_BLOCKS, PARAMETERS, TEXT_BLOCKS

# Tools whose cost cannot be bounded: container hours, remote servers, another model, searches without a price.
REFUSED_TOOLS = ("code_execution_", "mcp_toolset", "advisor_", "tool_search_tool_")


def kinds(union: Any) -> set[str]:
    """Return every `type` that the members of a union of the SDK's shapes can have."""
    if get_origin(union) in (typing.Union, types.UnionType):
        return {kind for member in get_args(union) for kind in kinds(member)}
    if get_origin(union) is typing.Annotated:
        return kinds(get_args(union)[0])
    if hasattr(union, "model_fields"):
        told = union.model_fields["type"].annotation
    else:
        told = get_type_hints(union).get("type", str)
    while get_origin(told) is not typing.Literal and get_args(told):
        told = get_args(told)[0]
    return set(get_args(told)) or {"custom"}


def test_every_parameter_of_the_sdk_is_classified() -> None:
    """Stable and beta, of the version that is installed."""
    known = {
        *message_create_params.MessageCreateParamsBase.__annotations__,
        *message_create_params.MessageCreateParamsStreaming.__annotations__,
        *beta_params.MessageCreateParamsBase.__annotations__,
    }

    assert set() == known - PARAMETERS.keys()
    assert {"fallbacks", "billing_policy", "mcp_servers"} <= known


@pytest.mark.parametrize(
    ("union", "classified", "some"),
    [
        (
            beta_tool_union_param.BetaToolUnionParam,
            parameters.CLIENT_TOOLS + parameters.READING_TOOLS + REFUSED_TOOLS,
            {"custom", "advisor_20260301", "web_search_20260318", "mcp_toolset", "browser_toolset_20260801"},
        ),
        (
            beta_context_management_config_param.Edit,
            parameters.CLEARING_EDITS + parameters.COMPACTING_EDITS,
            {"compact_20260112", "clear_thinking_20251015"},
        ),
    ],
)
def test_every_tool_and_every_edit_of_the_sdk_is_classified(
    union: Any, classified: tuple[str, ...], some: set[str]
) -> None:
    """By the beginning of its name: later versions of a tool are as the earlier ones, or need their own line."""
    known = kinds(union)

    assert some <= known
    assert [] == [kind for kind in known if not kind.startswith(classified)]


def test_every_content_block_of_the_sdk_is_classified() -> None:
    """Text by its bytes, media by their maxima."""
    known = kinds(beta_content_block_param.BetaContentBlockParam)

    assert {"text", "image", "compaction", "container_upload", "tool_addition"} <= known
    assert set() == known - TEXT_BLOCKS - MEDIA_BLOCKS


def test_the_tools_that_sample_once_for_each_use_are_versions_of_the_sdk() -> None:
    """A misspelled version would be held for ten samplings."""
    assert set(parameters.SIMPLE_TOOLS) <= kinds(beta_tool_union_param.BetaToolUnionParam)
