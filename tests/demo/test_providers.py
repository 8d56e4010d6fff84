"""The simulated provider in both languages, asked by the official SDKs through the gateway."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import openai
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from builders import Aurora, aurora
from gateway_server import serving
from tokenpool.config.wiring import ledger_commits
from tokenpool.demo import openai_provider, provider
from tokenpool.gateway.app import routes
from tokenpool.gateway.origins import Origin
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.spool import Spool
from tokenpool.gateway.upstream import Upstream
from tokenpool.gateway.upstreams import Upstreams
from tokenpool.kernel.sqlite import SqliteStore
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations.directory import Directory
from tokenpool.pricing import load

Demo = tuple[str, str, Aurora]


@pytest.fixture
async def demo(database: Path) -> AsyncIterator[Demo]:
    """Return the address of a gateway before the simulated provider, and a member's key."""
    org, store, book = aurora(), SqliteStore(database), load.standard()
    simulated = Mount("/simulated-provider", routes=[*provider.routes(book), *openai_provider.routes()])
    both = [Upstream(name="a", url="", api_key="k"), Upstream(name="o", url="", api_key="k", speaks="openai")]
    parts = Parts(
        store, ledger_commits(store), Directory(store), book, Upstreams(both), Spool(database.parent / "settlements")
    )
    async with serving(Starlette(routes=[*routes(parts), simulated])) as url:
        both[0].origin = Origin(f"{url}/simulated-provider", internal=False)
        both[1].origin = Origin(f"{url}/simulated-provider/v1", internal=False)
        yield url, org.key(org.elena, "claude_code"), org
    await parts.close()
    await store.close()


async def test_openais_sdk_is_answered(demo: Demo) -> None:
    """Chats, responses, embeddings, models; every one an exact event."""
    url, key, _ = demo
    messages = [{"role": "system", "content": "x" * 5_000}, {"role": "user", "content": "Hello"}]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as sdk:
        whole = await sdk.chat.completions.create(model="gpt-5", messages=messages, max_completion_tokens=500)
        said = {"role": "assistant", "content": "Yes?"}
        stream = await sdk.chat.completions.create(
            model="gpt-5", messages=[*messages, said], stream=True, stream_options={"include_usage": True}
        )
        last = [chunk async for chunk in stream][-1]
        cut = await sdk.responses.create(model="gpt-5", input="Hello", max_output_tokens=20)
        async with sdk.responses.stream(model="gpt-5", input="Hello") as helped:
            final = await helped.get_final_response()
        vectors = await sdk.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        names = {model.id async for model in sdk.models.list()}

    assert whole.choices[0].message.content.startswith("The pool is shared")
    assert last.usage.prompt_tokens_details.cached_tokens == whole.usage.prompt_tokens
    assert ("incomplete", 20, "completed") == (cut.status, cut.usage.output_tokens, final.status)
    assert (2, True) == (len(vectors.data), {"gpt-5", "text-embedding-3-small"} <= names)
    assert not any(name.startswith("claude") for name in names)
    assert (5, {""}) == (UsageEvent.objects.count(), set(UsageEvent.objects.values_list("flags", flat=True)))


async def test_anthropics_sdk_is_answered(demo: Demo) -> None:
    """The other language, from the same place."""
    url, key, _ = demo
    async with anthropic.AsyncAnthropic(base_url=url, api_key=key) as sdk:
        message = await sdk.messages.create(
            model="claude-sonnet-5-5", max_tokens=100, messages=[{"role": "user", "content": "Hello"}]
        )
        names = [model.id async for model in sdk.models.list()]

    assert message.content[0].text.startswith("The pool is shared")
    assert ("claude-sonnet-5-5" in names, False) == (True, "gpt-5" in names)


async def test_anthropics_sdk_has_a_batch_answered(demo: Demo) -> None:
    """One is canceled in time and costs nothing; of the other a request succeeds at half price and one errs."""
    url, key, _ = demo
    params = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
    asked = [{"custom_id": "good", "params": params}, {"custom_id": "bad", "params": {**params, "max_tokens": 0}}]
    async with anthropic.AsyncAnthropic(base_url=url, api_key=key) as sdk:
        api = sdk.messages.batches
        canceled = await api.cancel((await api.create(requests=asked)).id)  # type: ignore[arg-type]
        made = await api.create(requests=asked)  # type: ignore[arg-type]
        while (await api.retrieve(made.id)).processing_status != "ended":  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.1)
        found = {one.custom_id: one.result async for one in await api.results(made.id)}
        void = {one.result.type async for one in await api.results(canceled.id)}
        listed = [one.id async for one in api.list()]

    event, good = UsageEvent.objects.get(), found["good"]
    assert ({"canceled"}, {"good": "succeeded", "bad": "errored"}) == (
        void, {name: result.type for name, result in found.items()}
    )  # fmt: skip
    assert ([made.id, canceled.id], True) == (listed, event.batch)
    assert good.type == "succeeded"
    usage = good.message.usage
    assert usage.input_tokens * 2_000 + usage.output_tokens * 10_000 == event.cost_nano
    assert [] == list(Hold.objects.filter(ended_at_us=None))
