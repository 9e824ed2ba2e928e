"""Is what the collector passed on one trace, with the parents that it should have, and did what
goes with a trace arrive everywhere?

    check.py SPANS ANSWER SERVICE...

SPANS: what `receiver.py` printed. ANSWER: what `shopper.py` printed. SERVICE: who calls whom, in
this order; those whose names begin with `relay` are ours. Prints the tree. Exit status 1, after a
line for each thing that is wrong, unless all is as it should be.
"""

import json
import sys
from collections import Counter, defaultdict

CUSTOMER = "Zoë,=1"
TRACE_STATE = "shop=blue:1,other=7"
# Runtimes read the same clock in ways of their own: some ms, in ns.
SAME_CLOCK = 5_000_000

wrong = []


def expect(what, got, wanted):
    if got != wanted:
        wrong.append(f"{what}: {got!r}, but expected: {wanted!r}")


def main(spans_file, answer_file, *services):
    with open(spans_file) as file:
        spans = [json.loads(line) for line in file]
    with open(answer_file) as file:
        answer = json.load(file)
    # Only now: it is said what services saw even if no span arrived.
    check_answers(answer, services)
    roots = [span for span in spans if span["name"] == "order" and not span["parent"]]
    expect("roots named `order`", len(roots), 1)
    if roots:
        check_trace(spans, roots[0], answer["trace_id"], services)
    for line in wrong:
        print(f"wrong: {line}", file=sys.stderr)
    return 1 if wrong else 0


# What the services saw.


def check_answers(answer, services):
    expect("who answered, from the first on", [one["service"] for one in hops(answer)], list(services))
    before = []
    for one in hops(answer):
        who = f"{one['service']} (call {len(before)})"
        expect(f"{who} sees the trace", one["trace_id"], answer["trace_id"])
        expect(f"{who} sees the trace state", one["tracestate"], TRACE_STATE)
        baggage = {"customer": CUSTOMER} | {f"via-{service}": "yes" for service in before}
        expect(f"{who} sees the baggage", one["baggage"], baggage)
        before.append(one["service"])


def hops(answer):
    while answer:
        yield answer
        answer = answer.get("next")


# What the collector got.


def check_trace(spans, root, trace, services):
    expect("the trace of the root", root["trace"], trace)
    inside = [span for span in spans if span["trace"] == trace]
    below = children(inside)
    show(root, below)
    check_family(inside, root)
    check_others(spans, trace)
    check_calls(root, below, services)
    print(f"{len(inside)} spans of {len(services)} calls, {len(spans) - len(inside)} in other traces")


def children(spans):
    below = defaultdict(list)
    for span in sorted(spans, key=lambda span: span["start"]):
        below[span["parent"]].append(span)
    return below


def show(span, below, indent=""):
    print(f"{indent}{span['service']}  {span['name']}  {span['kind']}")
    for child in below[span["id"]]:
        show(child, below, indent + "  ")


def check_family(spans, root):
    """Each but the root has a parent that arrived, and that started before it."""
    by_id = {span["id"]: span for span in spans}
    expect("ids that more than one span has", len(spans) - len(by_id), 0)
    for span in spans:
        parent = by_id.get(span["parent"])
        if parent is None and span is not root:
            wrong.append(f"an orphan: {named(span)} has the parent {span['parent'] or 'none'}")
        elif parent and span["start"] + SAME_CLOCK < parent["start"]:
            wrong.append(f"{named(span)} started before its parent {named(parent)}")
        expect(f"the trace state of {named(span)}", span["state"], TRACE_STATE)


def check_others(spans, trace):
    """What came or went by HTTP is in the trace. Outside of it is only, from ours, what serves, and
    its connections, which are linked to it."""
    outside = [span for span in spans if span["trace"] != trace]
    serving = {span["id"]: span["service"] for span in outside if span["name"] == "run"}
    for span in outside:
        if span["kind"] != "INTERNAL":
            wrong.append(f"{named(span)} is in another trace: {span['trace']}")
        elif span["name"] == "http connection":
            linked = [serving.get(id) for _, id in span["links"]]
            expect(f"who serves {named(span)}", linked, [span["service"]])
        elif span["parent"] or span["id"] not in serving:
            wrong.append(f"{named(span)} is outside of the trace: {span['trace']}")


def named(span):
    return f"`{span['name']}` ({span['kind']}) of {span['service']}"


# The calls: from the span of a client in one process to that of a server in the next.


def check_calls(root, below, services):
    visits = Counter()
    here = root
    for number, service in enumerate(services):
        if number:
            here = check_call(here, below, service, visits[service])
        if here is None:
            return
        visits[service] += 1
        if service.startswith("relay"):
            here = check_task(here, below)
            if here is None:
                return


def check_call(caller, below, service, visit):
    """The span of the server `service` that `caller` called, if it was found."""
    client = only(caller, below, "CLIENT")
    server = client and only(client, below, "SERVER")
    if server is None:
        return None
    ours = "rust" if service.startswith("relay") else "python"
    expect(f"the name of {named(server)}", server["name"], f"GET {route_of(service, visit)}")
    expect(f"the service of {named(server)}", server["service"], service)
    expect(f"the language of {service}", server["language"], ours)
    port = server["attributes"].get("server.port")
    expect(f"server.port of {named(client)}", client["attributes"].get("server.port"), port)
    for span, key, value in [
        (client, "http.request.method", "GET"),
        (client, "http.response.status_code", "200"),
        (server, "http.request.method", "GET"),
        (server, "http.response.status_code", "200"),
        (server, "http.route", route_of(service, visit)),
    ]:
        expect(f"{key} of {named(span)}", span["attributes"].get(key), value)
    return server


def route_of(service, visit):
    if service == "frontend":
        return ["/order/{item}", "/confirm/{item}"][visit]
    return f"/{service.split('-')[0]}/{{item}}"


def check_task(server, below):
    """The task below the handler of a relay, which does the call; beside that is its hop to the
    blocking pool."""
    task = only(server, below, "INTERNAL")
    if task is None:
        return None
    expect(f"the name of the task of {task['service']}", task["name"], "ask_next")
    expect(f"the type of {named(task)}", task["attributes"].get("task.type"), "task")
    hop = only(task, below, "INTERNAL")
    if hop:
        expect(f"the name of the hop of {hop['service']}", hop["name"], "seen")
        expect(f"the type of {named(hop)}", hop["attributes"].get("task.type"), "blocking")
    return task


def only(span, below, kind):
    found = [child for child in below[span["id"]] if child["kind"] == kind]
    if len(found) == 1:
        return found[0]
    wrong.append(f"below {named(span)} there are {len(found)} spans of kind {kind}, but expected: 1")
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
