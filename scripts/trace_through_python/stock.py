"""An aiohttp server on the port $1: called by one program of ours, it calls another."""

import sys

from aiohttp import web
from opentelemetry import context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor

import telemetry


async def stock(request):
    # The package makes the caller's span the parent, but does not make its baggage current.
    context.attach(W3CBaggagePropagator().extract(request.headers))
    item = request.match_info["item"]
    return web.json_response(await telemetry.seen_and_next(f"/{item}"))


provider = telemetry.install()
# Replaces `web.Application`, so before one is made.
AioHttpServerInstrumentor().instrument()
app = web.Application()
app.router.add_get("/stock/{item}", stock)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
provider.shutdown()
