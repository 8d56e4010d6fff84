"""Two processes on one PostgreSQL: a batch made by one is looked after by both, and billed once."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web
from starlette.applications import Starlette

from builders import aurora
from gateway_server import serving
from tokenpool.compliance import verify
from tokenpool.config.wiring import ledger_commits
from tokenpool.gateway.app import routes
from tokenpool.gateway.batches.watch import Watch
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.spool import Spool
from tokenpool.gateway.upstream import Upstream
from tokenpool.gateway.upstreams import Upstreams
from tokenpool.kernel.postgres import PostgresStore
from tokenpool.limits.models import MessageBatch
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations.directory import Directory

from .batch_provider import Batches, speaking_batches
from .conftest import BOOK, Gate, Provider
from .test_batches_endpoints import BOUND, HALF, PATH, call, created, requests_of


async def test_two_processes_bill_a_batch_once(postgres_database: str, tmp_path: Path) -> None:
    """Results read by two clients in two processes while both watch: 600 events; a lost one is found by either."""
    async with AsyncExitStack() as stack:
        first, second, batches = await _two(stack, postgres_database, tmp_path)
        batch_id = await created(first, 600)
        held = first.account()
        batches.ended.update(batches.sent)
        MessageBatch.objects.update(look_at_us=0)
        path = f"{PATH}/{batch_id}/results"
        *_, one, two = await asyncio.gather(
            *(Watch(gate.parts).run_once() for gate in (first, second)),
            *(call(gate, "GET", path) for gate in (first, second)),
        )
        batches.create = "lost"
        await call(second, "POST", PATH, requests_of(2))
        batches.ended.update(batches.sent)
        for gate in (first, second, first):
            MessageBatch.objects.filter(look_at_us__isnull=False).update(look_at_us=0)
            await Watch(gate.parts).run_once()

        assert ((0, 600 * BOUND), (602 * HALF, 0)) == (held, first.account())
        assert ((200, 200), 602) == ((one[0], two[0]), UsageEvent.objects.count())
        assert {"settled"} == set(MessageBatch.objects.values_list("state", flat=True))
        assert [] == [finding.broken for finding in verify.check(book=BOOK) if not finding.holds]


async def _two(stack: AsyncExitStack, database: str, folder: Path) -> tuple[Gate, Gate, Batches]:
    """Return two gateways on one database, before one provider of batches."""
    provider, org = Provider(), aurora()
    key = org.key(org.elena, "claude_code")
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", provider.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    provider.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    session = await stack.enter_async_context(aiohttp.ClientSession())
    gates = []
    for name in ("first", "second"):
        store = PostgresStore(database)
        stack.push_async_callback(store.close)
        upstreams = Upstreams([Upstream(name="provider", url=provider.url, api_key="k")])
        parts = Parts(store, ledger_commits(store), Directory(store), BOOK, upstreams, Spool(folder / name))
        stack.push_async_callback(parts.close)
        url = await stack.enter_async_context(serving(Starlette(routes=routes(parts))))
        gates.append(Gate(url, org, provider, parts, session, key))
    return gates[0], gates[1], speaking_batches(gates[0])
