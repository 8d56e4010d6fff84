"""The parameters of OpenAI's endpoints, each classified for the largest possible cost; unknown ones pass.

A test compares these tables with every parameter of the official SDK. What else can cost has an
allow-list of its own: tools, items of the input, parts of a content, tiers.
"""

from tokenpool.gateway.parameters import Class

_PLAIN, _BOUNDED, _REFUSED = Class.PLAIN, Class.BOUNDED, Class.REFUSED

CHAT: dict[str, Class] = {
    "messages": _BOUNDED,
    "model": _BOUNDED,
    "max_completion_tokens": _BOUNDED,
    "max_tokens": _BOUNDED,
    "modalities": _BOUNDED,
    "n": _BOUNDED,
    "prompt_cache_options": _BOUNDED,
    "service_tier": _BOUNDED,
    "stream": _BOUNDED,
    "stream_options": _BOUNDED,
    "tools": _BOUNDED,
    "frequency_penalty": _PLAIN,
    "function_call": _PLAIN,
    "functions": _PLAIN,
    "logit_bias": _PLAIN,
    "logprobs": _PLAIN,
    "metadata": _PLAIN,
    "parallel_tool_calls": _PLAIN,
    "presence_penalty": _PLAIN,
    "prompt_cache_key": _PLAIN,
    "prompt_cache_retention": _PLAIN,
    "reasoning_effort": _PLAIN,  # reasoning counts inside the output
    "response_format": _PLAIN,
    "safety_identifier": _PLAIN,
    "seed": _PLAIN,
    "stop": _PLAIN,
    "store": _PLAIN,
    "temperature": _PLAIN,
    "tool_choice": _PLAIN,
    "top_logprobs": _PLAIN,
    "top_p": _PLAIN,
    "user": _PLAIN,
    "verbosity": _PLAIN,
    "audio": _REFUSED,  # audio tokens have prices of their own
    "moderation": _REFUSED,  # another model, without a price here
    "prediction": _REFUSED,  # rejected tokens are billed as output and no limit of the output covers them
    "web_search_options": _REFUSED,  # searches without a number
}

RESPONSES: dict[str, Class] = {
    "input": _BOUNDED,
    "model": _BOUNDED,
    "max_output_tokens": _BOUNDED,
    "prompt_cache_options": _BOUNDED,
    "reasoning": _BOUNDED,
    "service_tier": _BOUNDED,
    "stream": _BOUNDED,
    "tools": _BOUNDED,
    "image": _PLAIN,
    "include": _PLAIN,
    "instructions": _PLAIN,
    "max_tool_calls": _PLAIN,
    "metadata": _PLAIN,
    "parallel_tool_calls": _PLAIN,
    "prompt_cache_key": _PLAIN,
    "prompt_cache_retention": _PLAIN,
    "safety_identifier": _PLAIN,
    "store": _PLAIN,
    "stream_options": _PLAIN,
    "temperature": _PLAIN,
    "text": _PLAIN,
    "tool_choice": _PLAIN,
    "top_logprobs": _PLAIN,
    "top_p": _PLAIN,
    "truncation": _PLAIN,
    "user": _PLAIN,
    "access_programs": _REFUSED,  # other models behind the same name
    "background": _REFUSED,  # its usage is told to whoever asks later
    "background_options": _REFUSED,
    "context_management": _REFUSED,  # compaction is a further pass over the context
    "conversation": _REFUSED,
    "moderation": _REFUSED,
    "previous_response_id": _REFUSED,
    "prompt": _REFUSED,
}

EMBEDDINGS: dict[str, Class] = {
    "input": _BOUNDED,
    "model": _BOUNDED,
    "dimensions": _PLAIN,
    "encoding_format": _PLAIN,
    "user": _PLAIN,
}

# What refers to things that lie at the provider: in one account for all, so nobody could tell whose they are.
STORED = ("conversation", "item_reference", "previous_response_id", "prompt")

FAST_TIERS = ("priority", "fast")
TIERS = (None, "auto", "default", "flex", *FAST_TIERS)
LONG_CACHE = "12h"

# Tools that run at the client: their definitions are input, their calls are output.
CLIENT_TOOLS = ("function", "custom", "local_shell", "apply_patch", "computer", "computer_use_preview")
# Items of a Responses input whose text is in the body.
TEXT_ITEMS = (
    "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
    "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output",
    "apply_patch_call", "apply_patch_call_output", "computer_call", "computer_call_output",
)  # fmt: skip
# Items that may be sealed: what only the provider can read.
SEALED_ITEMS = ("reasoning", "compaction")
TEXT_PARTS = ("text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text")
IMAGE_PARTS = ("image_url", "input_image", "computer_screenshot")
AUDIO_PARTS = ("input_audio", "audio")
