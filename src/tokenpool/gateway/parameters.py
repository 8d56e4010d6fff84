"""The billable parts of `POST /v1/messages`, each classified: parameters, tools, context edits, content blocks.

A test compares these tables with everything the official SDK knows, so a new one that nobody has
classified fails the build instead of costing money that no hold covers. An unknown parameter passes,
an unknown tool or edit is refused, an unknown content block counts with the whole context window.
"""

from enum import Enum


class Class(Enum):
    """What a parameter means for the largest possible cost."""

    PLAIN = "its bytes are counted as input, or it costs nothing"
    BOUNDED = "the bound takes it into account"
    REFUSED = "its cost cannot be bounded beforehand"


PARAMETERS: dict[str, Class] = {
    "model": Class.BOUNDED,
    "max_tokens": Class.BOUNDED,
    "messages": Class.BOUNDED,
    "system": Class.BOUNDED,
    "tools": Class.BOUNDED,
    "cache_control": Class.BOUNDED,
    "inference_geo": Class.BOUNDED,
    "speed": Class.BOUNDED,
    "service_tier": Class.BOUNDED,
    "context_management": Class.BOUNDED,
    "compaction": Class.BOUNDED,  # one sampling like any other: max_tokens caps the summary, thinking included
    "thinking": Class.PLAIN,  # thinking counts inside max_tokens
    "output_config": Class.PLAIN,
    "output_format": Class.PLAIN,
    "metadata": Class.PLAIN,
    "stop_sequences": Class.PLAIN,
    "stream": Class.PLAIN,
    "temperature": Class.PLAIN,
    "top_k": Class.PLAIN,
    "top_p": Class.PLAIN,
    "tool_choice": Class.PLAIN,
    "diagnostics": Class.PLAIN,
    "user_profile_id": Class.PLAIN,
    "betas": Class.PLAIN,  # the SDK's name for the anthropic-beta header
    "fallback_credit_token": Class.PLAIN,  # it only lowers the bill of a retry
    "billing_policy": Class.REFUSED,
    "container": Class.REFUSED,  # container hours
    "fallbacks": Class.REFUSED,  # other models at other prices
    "mcp_servers": Class.REFUSED,
    "thread": Class.REFUSED,  # input that is not in the body
    "workspace_id": Class.REFUSED,  # another of the operator's accounts
}

# Parameters whose values have prices of their own, and the values that have one.
PRICED_VALUES = {
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard", "fast"),
    "inference_geo": ("global", "us"),
}
# Tools that run at the client: their definitions are input bytes, their calls are output tokens.
CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_", "browser_toolset_")
# Tools that run at the provider and only read: each use brings text into the context and samples again.
SEARCHING_TOOLS = ("web_search_",)
READING_TOOLS = (*SEARCHING_TOOLS, "web_fetch_")
# Their first versions sample again for each use; later ones may also run code, which samples again by itself.
SIMPLE_TOOLS = ("web_search_20250305", "web_fetch_20250910")
MOST_SAMPLINGS = 10  # the provider ends a request's loop there with `pause_turn`

CLEARING_EDITS = ("clear_tool_uses_", "clear_thinking_")  # they take input away
COMPACTING_EDITS = ("compact_",)  # they sample a summary before each sampling whose prompt reaches the trigger
DEFAULT_TRIGGER_TOKENS = 150_000

# Content blocks whose tokens are their own bytes; media are counted apart.
TEXT_BLOCKS = frozenset(
    {
        "text", "thinking", "redacted_thinking", "tool_use", "tool_result", "search_result", "compaction", "fallback",
        "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "advisor_tool_result",
        "code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result",
        "tool_search_tool_result", "tool_reference", "mcp_tool_use", "mcp_tool_result", "mcp_tool_listing",
        "tool_addition", "tool_removal",
    }
)  # fmt: skip
MEDIA_BLOCKS = frozenset({"image", "document", "container_upload"})
