"""FastAPI under uvicorn, on the port $1: the first service that is called, and the last."""

import contextlib
import sys

import uvicorn
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

import telemetry

provider = telemetry.install()


@contextlib.asynccontextmanager
async def until_the_end(_app):
    yield
    # Here, because uvicorn ends by the signal that it was told to end with.
    provider.shutdown()


app = FastAPI(lifespan=until_the_end)


@app.get("/order/{item}")
async def order(item: str):
    return await telemetry.seen_and_next(f"/{item}")


@app.get("/confirm/{item}")
async def confirm(item: str):
    return telemetry.seen()


# A span for each message of ASGI would say nothing about the trace.
FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
