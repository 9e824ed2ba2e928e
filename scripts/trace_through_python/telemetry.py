"""What do the services in Python have in common? How they are instrumented, and what each answers:
which context it had, and what the next one said.

OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_ENDPOINT and the like are read by the SDK. NEXT is who is
called.
"""

import os

import aiohttp
from opentelemetry import baggage, context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SERVICE = os.environ["OTEL_SERVICE_NAME"]


def install(**of_provider):
    provider = TracerProvider(**of_provider)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    AioHttpClientInstrumentor().instrument()
    return provider


def seen():
    """The current context, as the check wants to have it."""
    span = trace.get_current_span().get_span_context()
    return {
        "service": SERVICE,
        "trace_id": f"{span.trace_id:032x}",
        "tracestate": span.trace_state.to_header(),
        "baggage": dict(baggage.get_all()),
    }


async def seen_and_next(path):
    """What this service sees, and below it what the next one does, which is told in baggage that
    this one was here."""
    answer = seen()
    token = context.attach(baggage.set_baggage(f"via-{SERVICE}", "yes"))
    try:
        answer["next"] = await fetch(os.environ["NEXT"] + path)
    finally:
        context.detach(token)
    return answer


async def fetch(url):
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(url) as response:
            return await response.json()
