"""The official OpenAI SDK, unchanged but for the base URL: whole, streamed, refused after exactly one attempt."""

import json

import openai
import pytest
from aiohttp import web

from tokenpool.limits.models import Hold
from tokenpool.organizations import settings

from .conftest import Gate
from .openai_provider import CHAT_BODY, COST, EMBEDDING_BODY, RESPONSE_BODY


def client(gate: Gate) -> openai.AsyncOpenAI:
    """Return the SDK with its usual two retries."""
    return openai.AsyncOpenAI(base_url=f"{gate.url}/v1", api_key=gate.key)


async def test_a_chat_whole_and_streamed(bilingual: Gate) -> None:
    """The same answer, the same bill; a client that did not ask for usage meets no chunk without a choice."""
    async with client(bilingual) as sdk:
        whole = await sdk.chat.completions.create(**CHAT_BODY)
        stream = await sdk.chat.completions.create(**CHAT_BODY, stream=True)
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert ("Hello there", 7, "Hello there") == (
        whole.choices[0].message.content,
        whole.usage and whole.usage.completion_tokens,
        "".join(texts),
    )
    assert whole._request_id is not None
    assert whole._request_id.startswith("req_")
    assert (2 * COST, 0) == bilingual.account()


async def test_a_chat_that_asks_for_its_usage(bilingual: Gate) -> None:
    """The last chunk has it and no choice, as at the provider."""
    async with client(bilingual) as sdk:
        stream = await sdk.chat.completions.create(**CHAT_BODY, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        async with sdk.chat.completions.stream(**CHAT_BODY) as helped:
            final = await helped.get_final_completion()

    assert ([], 2_112) == (chunks[-1].choices, chunks[-1].usage and chunks[-1].usage.prompt_tokens)
    assert "Hello there" == final.choices[0].message.content
    assert (2 * COST, 0) == bilingual.account()


async def test_a_response_whole_and_streamed(bilingual: Gate) -> None:
    """Its events arrive typed, the last with the usage."""
    async with client(bilingual) as sdk:
        whole = await sdk.responses.create(**RESPONSE_BODY)
        kinds = [event.type async for event in await sdk.responses.create(**RESPONSE_BODY, stream=True)]
        async with sdk.responses.stream(**RESPONSE_BODY) as helped:
            final = await helped.get_final_response()

    assert ("Hello there", "Hello there") == (whole.output_text, final.output_text)
    assert ("response.created", "response.completed", 8) == (kinds[0], kinds[-1], len(kinds))
    assert (3 * COST, 0) == bilingual.account()


async def test_embeddings(bilingual: Gate) -> None:
    """Asked for as base64, as the SDK does of itself."""
    async with client(bilingual) as sdk:
        found = await sdk.embeddings.create(**EMBEDDING_BODY)

    assert ([0.5, -0.5], 1_000) == (found.data[0].embedding, found.usage.prompt_tokens)
    assert "base64" == json.loads(bilingual.provider.seen[0][2])["encoding_format"]
    assert (20_000, 0) == bilingual.account()


@pytest.mark.parametrize(("status", "error"), [(429, openai.RateLimitError), (402, openai.APIStatusError)])
async def test_a_refusal_stops_after_one_attempt(
    bilingual: Gate, status: int, error: type[openai.APIStatusError]
) -> None:
    """Our sentence, our code and our numbers; no retry although there were two allowed; nothing was sent."""
    bilingual.org.limit("organization", 0)
    settings.change(by=bilingual.org.ada, refusal_status=status)
    asked: list[object] = []
    async with client(bilingual) as sdk:
        sdk._client.event_hooks["request"].append(lambda request: _note(asked, request))
        for call in (
            sdk.chat.completions.create(**CHAT_BODY),
            sdk.chat.completions.create(**CHAT_BODY, stream=True),
            sdk.responses.create(**RESPONSE_BODY),
            sdk.embeddings.create(**EMBEDDING_BODY),
        ):
            with pytest.raises(error) as refused:
                await call
            assert ("tokenpool_organization_limit_reached", "insufficient_quota", status) == (
                refused.value.code,
                refused.value.type,
                refused.value.status_code,
            )
            assert "Spending is blocked: your organization's monthly spend limit is $0" in refused.value.message
            assert refused.value.request_id is not None

    assert (4, []) == (len(asked), bilingual.provider.seen)


async def test_what_cannot_be_bounded_names_its_field(bilingual: Gate) -> None:
    """A BadRequestError with `param`, once."""
    async with client(bilingual) as sdk:
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.responses.create(**RESPONSE_BODY, previous_response_id="resp_1")

    assert ("previous_response_id", 0) == (refused.value.param, Hold.objects.count())


async def test_an_error_in_a_stream_is_raised(bilingual: Gate) -> None:
    """In place of a chunk, as the provider told it."""
    bilingual.provider.streams([b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'])
    async with client(bilingual) as sdk:
        stream = await sdk.chat.completions.create(**CHAT_BODY, stream=True)
        with pytest.raises(openai.APIError, match="overloaded"):
            [chunk async for chunk in stream]

    assert ("void", (0, 0)) == ((await bilingual.at_rest()).state, bilingual.account())


async def test_the_models_of_its_format(bilingual: Gate) -> None:
    """The list and one of it, of the provider that speaks it."""

    async def script(request: web.Request) -> web.StreamResponse:
        one = {"id": "gpt-5.6-luna", "object": "model", "created": 1, "owned_by": "openai"}
        return web.json_response({"object": "list", "data": [one]} if request.path == "/v1/models" else one)

    bilingual.provider.script = script
    async with client(bilingual) as sdk:
        names = [model.id async for model in sdk.models.list()]
        one = await sdk.models.retrieve("gpt-5.6-luna")

    assert (["gpt-5.6-luna"], "gpt-5.6-luna") == (names, one.id)
    assert ["/v1/models", "/v1/models/gpt-5.6-luna"] == [path for path, _, _ in bilingual.provider.seen]
    assert {"Bearer the provider's own key"} == {seen["Authorization"] for _, seen, _ in bilingual.provider.seen}


async def _note(asked: list[object], request: object) -> None:
    asked.append(request)
