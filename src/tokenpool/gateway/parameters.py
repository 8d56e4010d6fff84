"""The billable parameters of `POST /v1/messages`, each classified; what is not here and unknown passes.

A test compares this table with every parameter of the official SDK, so a new one that nobody has
classified fails the build instead of costing money that no hold covers.
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
    "billing_policy": Class.REFUSED,
    "compaction": Class.REFUSED,  # compaction tokens come on top of the totals
    "container": Class.REFUSED,  # container hours
    "fallback_credit_token": Class.REFUSED,
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
CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_")
# Tools that run at the provider and only read: every use may fill the context once more.
READING_TOOLS = ("web_search_", "web_fetch_")
# Edits that take input away. Compaction edits bill a further iteration and are refused.
CLEARING_EDITS = ("clear_tool_uses_", "clear_thinking_")
