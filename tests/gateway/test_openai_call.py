"""OpenAI's bodies: what bounds them, what is refused by name, and the bytes that go out."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from tokenpool.gateway.openai.call import OpenAiCall, read_chat, read_embeddings, read_responses
from tokenpool.kernel.errors import InvalidInput, Unbounded
from tokenpool.pricing import load
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import largest_cost

DAY = date(2026, 11, 25)
CHAT = {"model": "gpt-5", "max_completion_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
RESPONSE = {"model": "gpt-5", "max_output_tokens": 100, "input": "Hello"}
PNG = "data:image/png;base64," + "A" * 100_000


def price(model: str = "gpt-5") -> ModelPrice:
    """Return a model's price."""
    return load.standard().price(model, DAY)


def chat(**fields: Any) -> OpenAiCall:
    """Read a chat with these fields over the usual ones."""
    return read_chat(json.dumps({**CHAT, **fields}).encode())


def response(**fields: Any) -> OpenAiCall:
    """Read a Responses call with these fields over the usual ones."""
    return read_responses(json.dumps({**RESPONSE, **fields}).encode())


def part(**fields: Any) -> dict[str, Any]:
    """Return a message with one part of content."""
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, fields]}]}


def test_the_input_is_bounded_by_the_bytes() -> None:
    """The whole body and four thousand for what the provider adds; never more than the window."""
    small, large = chat(), chat(messages=[{"role": "user", "content": "x" * 500_000}])

    assert (len(small.raw) + 4_000, 400_000) == (small.shape(price()).input_tokens, large.shape(price()).input_tokens)


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, 100),
        ({"max_completion_tokens": None, "max_tokens": 70}, 70),
        ({"max_completion_tokens": None}, 128_000),
        ({"max_completion_tokens": 5_000_000}, 128_000),
        ({"n": 3}, 300),
        ({"n": 2, "max_completion_tokens": None}, 256_000),
        ({"n": None, "max_completion_tokens": 0}, 0),
    ],
)
def test_the_output_is_bounded_by_its_limit_and_the_window(fields: dict[str, Any], output: int) -> None:
    """Of all choices together; without a limit it is the model's longest answer, or its window."""
    call = chat(**fields)

    assert output == call.shape(price()).max_output
    if call.asked is None:
        unknown = replace(price(), longest_output=None)
        assert 400_000 * call.choices == call.shape(unknown).max_output


def test_without_limit_and_window_nothing_bounds_the_output() -> None:
    """Refused by the name of the field that would."""
    for call, field in ((chat(max_completion_tokens=None), "max_completion_tokens"), (response(), "max_output_tokens")):
        body = {**json.loads(call.raw), "max_output_tokens": None}
        read = read_chat if field == "max_completion_tokens" else read_responses
        with pytest.raises(Unbounded, match=f"{field}: must be given, for the longest answer") as found:
            read(json.dumps(body).encode()).shape(price("gpt-5.5-cyber"))
        assert field == found.value.field


def test_embeddings_have_input_alone_and_many_windows_of_it() -> None:
    """A list of texts is not bounded by the window of one; nor is there a stream."""
    body = {"model": "text-embedding-3-small", "input": ["x" * 8_000] * 30, "stream": True}
    call = read_embeddings(json.dumps(body).encode())
    shape = call.shape(price("text-embedding-3-small"))

    assert (len(call.raw) + 4_000, 0, False) == (shape.input_tokens, shape.max_output, call.stream)
    assert 240_000 < shape.input_tokens


@pytest.mark.parametrize(
    ("tier", "nano"),
    [(None, 20_000), ("auto", 20_000), ("default", 10_000), ("flex", 10_000), ("priority", 20_000), ("fast", 20_000)],
)
def test_a_tier_that_may_be_dearer_is_held(tier: str | None, nano: int) -> None:
    """The account's default may be the fast one, unless the call says otherwise or no such price exists."""
    shape, slow = chat(service_tier=tier).shape(price()), chat(service_tier="auto").shape(price("gpt-5-nano"))

    assert (nano * 1_000, 400_000) == (
        largest_cost(shape, price()).output_price_nano_per_mtok // 1_000,
        largest_cost(slow, price("gpt-5-nano")).output_price_nano_per_mtok // 1_000,
    )
    assert (tier in ("priority", "fast")) is shape.fast


def test_a_tier_without_a_price_is_refused_by_its_name() -> None:
    """Both of the model and of the format."""
    with pytest.raises(Unbounded, match="service_tier: “priority” has no price for gpt-5-nano"):
        chat(service_tier="priority").shape(price("gpt-5-nano"))
    for tier in ("scale", "ultrafast", "cheap", 7):
        with pytest.raises(Unbounded, match="service_tier: must be one of auto, default, flex, priority, fast here"):
            chat(service_tier=tier)


def test_a_cache_that_is_written_unasked_is_held() -> None:
    """Newer models write of themselves; twelve hours only where they are asked for."""
    usual, long = chat().shape(price()), response(prompt_cache_options={"ttl": "12h"}).shape(price())

    assert [(True, False), (True, True)] == [(usual.cache_5m, usual.cache_1h), (long.cache_5m, long.cache_1h)]


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        (part(type="image_url", image_url={"url": PNG}), 12_000),
        (part(type="image_url", image_url={"url": "https://x.example/cat.png"}), 12_000),
        (part(type="image_url", image_url={"url": "data:é" + "A" * 50}), 12_000),
    ],
)
def test_an_image_counts_as_one_and_not_as_its_bytes(fields: dict[str, Any], tokens: int) -> None:
    """Its data is taken off where the API reads images, and nowhere else."""
    call = chat(**fields)
    taken = len(PNG) if PNG in json.dumps(fields) else 0

    assert len(call.raw) - taken + tokens + 4_000 == call.shape(price()).input_tokens


def test_a_look_alike_of_an_image_is_text() -> None:
    """In the arguments of a tool, or in a field that nobody reads."""
    look_alike = {"type": "image_url", "image_url": {"url": PNG}}
    tool = {"type": "function", "function": {"name": "f", "parameters": look_alike}}
    call = chat(tools=[tool], metadata={"x": look_alike})

    assert len(call.raw) + 4_000 == call.shape(price()).input_tokens


@pytest.mark.parametrize(
    "call",
    [
        chat(**part(type="file", file={"file_id": "file-1"})),
        chat(**part(type="something_new", url="https://x.example")),
        response(input=[{"role": "user", "content": [{"type": "input_file", "file_url": "https://x.example/a.pdf"}]}]),
        response(input=[{"type": "reasoning", "id": "rs_1", "summary": []}]),
        response(input=[{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}]),
        response(input=[{"type": "compaction", "encrypted_content": "gAAAA"}]),
        response(input=[{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file"}]}]),
    ],
)
def test_what_only_the_provider_can_read_counts_as_the_window(call: OpenAiCall) -> None:
    """Files, sealed items, parts that nobody knows yet; without a window they are refused."""
    assert 400_000 == call.shape(price()).input_tokens == call.estimated_input(price())
    with pytest.raises(Unbounded, match="context window is unknown"):
        call.shape(price("gpt-6-cyber"))


def test_sealed_reasoning_counts_as_its_bytes() -> None:
    """It is text in base64, whoever can read it; an item with neither seal nor id is what stands in it."""
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA" * 900}
    open_one = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    call = response(input=[sealed, open_one])

    assert len(call.raw) + 4_000 == call.shape(price()).input_tokens


def test_images_of_a_response_count_wherever_they_may_stand() -> None:
    """In a message, in the output of a tool, as a screenshot."""
    image = {"type": "input_image", "image_url": PNG}
    call = response(
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "see"}, image]},
            {"type": "function_call_output", "call_id": "c", "output": [image]},
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": PNG},
            },
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "text"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        ]
    )

    assert len(call.raw) - 3 * len(PNG) + 36_000 + 4_000 == call.shape(price()).input_tokens


def test_an_estimate_of_the_input_is_a_third_of_its_bytes() -> None:
    """Rounded up; images as their maximum; never above the bound."""
    text, image = chat(), chat(**part(type="image_url", image_url={"url": PNG}))

    assert -(-len(text.raw) // 3) == text.estimated_input(price())
    assert -(-(len(image.raw) - len(PNG)) // 3) + 12_000 == image.estimated_input(price())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"audio": {"voice": "x"}}, "audio: its cost cannot be bounded"),
        ({"modalities": ["text", "audio"]}, 'modalities: must be ["text"] here'),
        ({"prediction": {"type": "content"}}, "prediction: its cost cannot be bounded"),
        ({"web_search_options": {}}, "web_search_options: its cost cannot be bounded"),
        ({"moderation": {"model": "x"}}, "moderation: its cost cannot be bounded"),
        (part(type="input_audio", input_audio={}), "messages: audio is billed at prices of its own"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages: audio is billed at prices of its own"),
        ({"messages": "Hello"}, "messages: must be a list of objects"),
        ({"messages": [7]}, "messages: must be a list of objects"),
        ({"tools": {}}, "tools: must be a list of objects"),
        ({"tools": [{"type": "web_search"}]}, "tools: the cost of “web_search” cannot be bounded"),
        ({"n": 0}, "n: must be a whole number from 1 to 128"),
        ({"n": 1e3}, "n: must be a whole number from 1 to 128"),
        ({"n": True}, "n: must be a whole number from 1 to 128"),
        ({"max_tokens": 5}, "max_tokens: stands beside max_completion_tokens; keep one"),
        ({"max_completion_tokens": -1}, "max_completion_tokens: must be a whole number"),
        ({"max_completion_tokens": 10**18}, "max_completion_tokens: must be a whole number"),
        ({"max_completion_tokens": "7"}, "max_completion_tokens: must be a whole number"),
        ({"max_completion_tokens": 7.0}, "max_completion_tokens: must be a whole number"),
        ({"stream": 1}, "stream: must be true or false"),
        ({"stream": "true"}, "stream: must be true or false"),
        ({"model": ""}, "model: must be the name of a model"),
        ({"model": ["gpt-5"]}, "model: must be the name of a model"),
    ],
)
def test_a_chat_that_cannot_be_bounded_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    """One sentence that begins with the field."""
    with pytest.raises(InvalidInput) as refused:
        chat(**fields)

    assert refused.value.message.startswith(said)
    assert said.partition(":")[0] == refused.value.field


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"background": True}, "background: its cost cannot be bounded"),
        ({"background_options": {}}, "background_options: its cost cannot be bounded"),
        ({"context_management": [{"type": "compaction"}]}, "context_management: its cost cannot be bounded"),
        ({"previous_response_id": "resp_1"}, "previous_response_id: it refers to what lies at the provider"),
        ({"conversation": "conv_1"}, "conversation: it refers to what lies at the provider"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt: it refers to what lies at the provider"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input: an item of type item_reference refers to"),
        ({"input": [{"id": "msg_1"}]}, "input: an item of type item_reference refers to"),
        (
            {"input": [{"type": "additional_tools", "tools": []}]},
            "input: the cost of an item of type “additional_tools”",
        ),
        ({"input": [{"type": "compaction_trigger"}]}, "input: the cost of an item of type “compaction_trigger”"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input: audio is billed at prices"),
        ({"input": 7}, "input: must be a list of objects"),
        ({"access_programs": {"cyber": "standard"}}, "access_programs: its cost cannot be bounded"),
        ({"moderation": {"model": "x"}}, "moderation: its cost cannot be bounded"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode: must be standard here"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools: the cost of “code_interpreter” cannot be bounded"),
        ({"tools": [{"type": "mcp", "server_url": "https://x"}]}, "tools: the cost of “mcp” cannot be bounded"),
        ({"tools": [{"type": "shell"}]}, "tools: the cost of “shell” cannot be bounded"),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "tools: the cost of “shell”"),
        ({"tools": [{"type": "tool_search"}]}, "tools: the cost of “tool_search” cannot be bounded"),
        ({"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, "tools: a namespace may have functions"),
        ({"max_output_tokens": True}, "max_output_tokens: must be a whole number"),
    ],
)
def test_a_response_that_cannot_be_bounded_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    """Also whatever lies at the provider, in an account that organizations share."""
    with pytest.raises(InvalidInput) as refused:
        response(**fields)

    assert refused.value.message.startswith(said)
    assert said.partition(":")[0] == refused.value.field


def test_tools_of_the_client_and_switches_that_are_off_pass() -> None:
    """What runs here costs its text; what is null or false asks for nothing."""
    kinds = ("function", "custom", "local_shell", "apply_patch", "computer", "computer_use_preview")
    tools: list[dict[str, Any]] = [{"type": kind} for kind in kinds]
    tools += [{"type": "shell", "environment": {"type": "local"}}, {"type": "tool_search", "execution": "client"}]
    tools += [{"type": "namespace", "name": "crm", "tools": [{"type": "function"}]}]
    off = {"background": False, "previous_response_id": None, "conversation": None, "context_management": None}

    call = response(tools=tools, reasoning={"effort": "high"}, store=True, truncation="auto", something_new=1, **off)

    assert (100, "gpt-5") == (call.shape(price()).max_output, call.model)


def test_the_bytes_go_out_as_they_came() -> None:
    """Of everything that tells its usage of itself."""
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    for call in (chat(), chat(**asked), response(stream=True)):
        assert (call.raw, False) == (call.body(None), call.hides_usage)


@pytest.mark.parametrize("options", ["absent", None, {}, {"include_usage": False}, {"include_obfuscation": False}])
def test_a_streamed_chat_is_made_to_tell_its_usage(options: Any) -> None:
    """One field in front, or the options with one more; every other value as it was."""
    call = chat(stream=True) if options == "absent" else chat(stream=True, stream_options=options)

    sent = json.loads(call.body(None))

    wanted = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    assert ({**json.loads(call.raw), "stream_options": wanted}, True) == (sent, call.hides_usage)
    if options == "absent":
        assert b'{"stream_options": {"include_usage": true},' + call.raw[1:] == call.body(None)


@pytest.mark.parametrize(
    ("fields", "field", "most", "told"),
    [
        ({}, "max_completion_tokens", 50, 50),
        ({"n": 3}, "max_completion_tokens", 50, 16),
        ({"max_completion_tokens": None, "max_tokens": 90}, "max_tokens", 50, 50),
        ({"max_completion_tokens": None}, "max_completion_tokens", 50, 50),
        ({"metadata": {"max_completion_tokens": 100}}, "max_completion_tokens", 50, 50),
    ],
)
def test_a_clamp_writes_into_the_field_that_was_meant(fields: dict[str, Any], field: str, most: int, told: int) -> None:
    """The share of one choice; a look-alike deeper down stays as it is."""
    call = chat(**fields)

    assert {**json.loads(call.raw), field: told} == json.loads(call.body(most))
    assert told == call.told(most)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"max\\u005fcompletion_tokens": 9000, "model": "m", "messages": [], "x": {"max_completion_tokens": 1}}',
        b'{"x": {"max_completion_tokens": 9000}, "max\\u005fcompletion_tokens": 9000, "model": "m", "messages": []}',
        b'{"model": "m", "messages": [], "user": "say \\"max_completion_tokens\\": 7", "max_completion_tokens": 9000}',
        b' \n {"model": "m", "messages": [], "max_completion_tokens":9000}',
    ],
)
def test_no_spelling_of_the_body_keeps_a_larger_output_than_was_held(raw: bytes) -> None:
    """Escaped keys, look-alikes, white space."""
    call = read_chat(raw)

    sent = json.loads(call.body(4_096))

    assert (9_000, 4_096, "m") == (call.asked, sent["max_completion_tokens"], sent["model"])


def test_the_last_tokens_worth_having_are_a_thousand_of_each_choice() -> None:
    """A clamp below that answers nobody."""
    assert (1_024, 3_072) == (chat().floor_output, chat(n=3).floor_output)
