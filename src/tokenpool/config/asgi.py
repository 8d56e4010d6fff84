"""The one ASGI application: the gateway's routes, the static files, and Django for everything else."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import django
from django.core.asgi import get_asgi_application
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Mount, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenpool.config.settings")

from tokenpool.config.settings import DEMO, ENVIRONMENT

PROVIDER_PATH = "/simulated-provider"
CONSOLE_FILES = Path(__file__).parent.parent / "console" / "static"


def build() -> Router:
    """Compose the application; Django's is last, so unknown addresses get its pages."""
    django.setup(set_prefix=False)
    from tokenpool.config import collector, wiring  # noqa: PLC0415 - rooms with tables can be imported only after setup
    from tokenpool.config.form_bodies import FormBodies  # noqa: PLC0415
    from tokenpool.gateway.app import routes  # noqa: PLC0415

    parts = wiring.gateway_parts(ENVIRONMENT)

    @asynccontextmanager
    async def lifespan(_: Router) -> AsyncIterator[None]:
        async with wiring.running(parts):
            collector.calm()
            yield

    own: list[BaseRoute] = [*routes(parts)]
    if DEMO:
        from tokenpool.demo import openai_provider, provider  # noqa: PLC0415 - only a demo carries a provider

        own.append(Mount(PROVIDER_PATH, routes=[*provider.routes(parts.book), *openai_provider.routes()]))
    files = StaticFiles(directory=CONSOLE_FILES, packages=[("django_htmx", "static")])
    own.append(Mount("/static", ExceptionMiddleware(files)))
    own.append(Mount("/", FormBodies(cast("ASGIApp", get_asgi_application()))))
    return Router(own, lifespan=lifespan)  # without Starlette's middleware: each route answers its own errors


application = build()
