"""Begins the trace: a root span, with baggage and with a trace state; calls NEXT, and prints what
all services said that they saw."""

import asyncio
import json

from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace.span import TraceState

import telemetry


class WithTraceState(Sampler):
    """A sampler is who may set the trace state of a root."""

    def should_sample(self, parent, trace_id, name, kind=None, attributes=None, *_):
        state = TraceState([("shop", "blue:1"), ("other", "7")])
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)

    def get_description(self):
        return "WithTraceState"


async def main():
    # A comma, an equals sign and what is not ASCII have to be encoded on the wire.
    context.attach(baggage.set_baggage("customer", "Zoë,=1"))
    with trace.get_tracer("shopper").start_as_current_span("order"):
        return await telemetry.seen_and_next("/teapot")


provider = telemetry.install(sampler=WithTraceState())
try:
    print(json.dumps(asyncio.run(main())))
finally:
    provider.shutdown()
