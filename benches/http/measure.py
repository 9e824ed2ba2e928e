"""Measures hello by HTTP: which requests per second, and which time of the processor for each.

Called by `scripts/bench-http.sh`, which builds the programs; `--help` says what can be chosen. All
contenders run in each round, one after the other, in an order that turns from round to round. With
few cores the load takes its part of them: the rate says something of both, and the time of the
processor that the server's process used, its exporters included, says what the server costs.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ALL = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"}
NO_SPANS = ALL | {"OTEL_TRACES_EXPORTER": "none"}
NOTHING = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
# name: program, what it is told, whether each request has to be a span at the sink.
CONTENDERS = {
    "tokio": (["plain"], NOTHING, False),
    "tokio, layers": (["layers"], ALL, True),
    "telemetry_rt": (["ours"], ALL, True),
    "telemetry_rt, no spans": (["ours"], NO_SPANS, False),
    "telemetry_rt, no export": (["ours"], NOTHING, False),
    "hyper on tokio": (["bare", "tokio"], NOTHING, False),
    "hyper on telemetry_rt": (["bare", "telemetry_rt"], NOTHING, False),
}
# The same for all that export: nobody is to win by dropping what does not fit a queue.
EXPORT = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "262144",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_SERVICE_NAME": "hello",
}
BODY = "Hello, world!"
PARENT = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TICK = 1 / os.sysconf("SC_CLK_TCK")


def main():
    options = arguments()
    names = options.only.split(";") if options.only else list(CONTENDERS)
    rounds = {name: [] for name in names}
    with Program(options.programs / "sink") as sink:
        for number in range(options.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                rounds[name].append(sample(name, sink, options))
                print(".", end="", file=sys.stderr, flush=True)
        counts = {name: instructions(name, sink, options) for name in names if options.instructions}
    print(file=sys.stderr)
    report = {name: summary(samples, rounds[names[0]]) for name, samples in rounds.items()}
    for name, count in counts.items():
        report[name] |= {"instructions": count, "instructions_ratio": count / counts[names[0]]}
    print(table(report, names[0]))
    options.json.write_text(json.dumps({"options": told(options), "rounds": rounds, "summary": report}, indent=1))
    complaints = [line for name in names for line in wrong(name, rounds[name], options)]
    for line in complaints:
        print(f"wrong: {line}", file=sys.stderr)
    return 1 if complaints else 0


def arguments():
    parser = argparse.ArgumentParser(prog="bench-http.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--warm-up", type=int, default=1, help="seconds before each")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2, help="threads of each server")
    parser.add_argument("--only", help=f"some, with ; between: {'; '.join(CONTENDERS)}. The first is compared with")
    parser.add_argument("--parent", action="store_true", help="requests come with a traceparent")
    parser.add_argument("--instructions", type=int, default=0, help="seconds of load in which valgrind counts them")
    parser.add_argument("--lossy", type=float, default=0.001, help="part of the spans that may be lost")
    parser.add_argument("--programs", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def told(options):
    return {name: str(value) for name, value in vars(options).items()}


class Program:
    """One of the programs in `src/bin`, while it runs. Says where it listens in its first line, and
    ends when its input does."""

    def __init__(self, *command, **environment):
        self.process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = f"http://{self.process.stdout.readline().strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return response.read().decode()

    def cpu(self):
        """User's and system's time, of all threads, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def memory(self):
        """The most that was resident, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def sample(name, sink, options):
    before = Counts(sink)
    with started(name, sink, options) as server:
        right = server.get("/hello") == BODY
        warm = load(server, options.warm_up, options)
        settle(sink)
        cpu = server.cpu()
        result = load(server, options.seconds, options)
        # What is exported after the last answer belongs to it.
        settle(sink)
        result["cpu"] = server.cpu() - cpu
        result["memory"] = server.memory()
    after = Counts(sink)
    result["right"] = right and result["errors"] == 0
    result["all_requests"] = 1 + warm["requests"] + result["requests"]
    result["spans"] = after.spans - before.spans
    result["spans_of_servers"] = after.of_servers - before.of_servers
    result["exports_of_metrics"] = after.of_metrics - before.of_metrics
    result["rate"] = result["requests"] / result["seconds"]
    result["cpu_us"] = result["cpu"] / result["requests"] * 1e6
    return result


def started(name, sink, options, below=()):
    (program, *more), environment, _ = CONTENDERS[name]
    environment = EXPORT | environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    return Program(*below, options.programs / program, str(options.workers), *more, **environment)


class Counts:
    def __init__(self, sink):
        self.all = sink.get("/counts")
        self.spans, self.of_servers, self.of_metrics = map(int, self.all.split())


def settle(sink):
    """Waits until no more spans come, for longer than they are kept back."""
    count = None
    while (now := Counts(sink).spans) != count:
        count = now
        time.sleep(0.8)


def load(server, seconds, options):
    headers = ["-H", PARENT] if options.parent else []
    output = subprocess.run(
        ["wrk", "-t1", f"-c{options.connections}", f"-d{seconds}s", "--latency", *headers, server.url + "/hello"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    requests, took, unit = re.search(r"(\d+) requests in ([\d.]+)(m?s)", output).groups()
    p99, p99_unit = re.search(r"99%\s+([\d.]+)([mu]?s)", output).groups()
    return {
        "requests": int(requests),
        "seconds": float(took) / (1000 if unit == "ms" else 1),
        "p99_ms": float(p99) * {"us": 1e-3, "ms": 1, "s": 1e3}[p99_unit],
        "errors": sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", output)))
        + sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", output))),
    }


def instructions(name, sink, options):
    """How many the server executes for a request, in its own code, as valgrind counts them. Those of
    its start and end are taken off: they are the ones of a run without requests."""
    requests, busy = counted(name, sink, options, options.instructions)
    _, idle = counted(name, sink, options, 0)
    return (busy - idle) / requests


def counted(name, sink, options, seconds):
    with tempfile.TemporaryDirectory() as folder:
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--log-file={folder}/log"]
        with started(name, sink, options, tool) as server:
            requests = load(server, seconds, options)["requests"] if seconds else 0
        log = Path(folder, "log").read_text()
    return requests, int(re.search(r"Collected : (\d+)", log)[1])


# What comes out.


def summary(samples, of_first):
    def middle(key):
        return statistics.median(one[key] for one in samples)

    def ratio(key):
        """To the sample of the first contender in the same round: median, least, most."""
        ratios = sorted(one[key] / first[key] for one, first in zip(samples, of_first))
        return [statistics.median(ratios), ratios[0], ratios[-1]]

    of_all = sum(one["all_requests"] for one in samples)
    return {
        **{key: middle(key) for key in ("rate", "cpu_us", "p99_ms", "memory")},
        **{f"{key}_ratio": ratio(key) for key in ("rate", "cpu_us")},
        "cpu_us_more": statistics.median(
            one["cpu_us"] - first["cpu_us"] for one, first in zip(samples, of_first)
        ),
        "spans_per_request": sum(one["spans_of_servers"] for one in samples) / of_all,
    }


def table(report, first):
    head = ["contender", "requests/s", f"of {first}", "CPU µs/request", f"of {first}", "more µs", "99 % ms", "MiB"]
    head += ["server spans/request"]
    if "instructions" in report[first]:
        head += ["instructions/request", f"of {first}"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *(line(name, row) for name, row in report.items())]
    return "\n".join(f"| {' | '.join(one)} |" for one in lines)


def line(name, row):
    cells = [name, f"{row['rate']:,.0f}", spread(row["rate_ratio"])]
    cells += [f"{row['cpu_us']:.2f}", spread(row["cpu_us_ratio"]), f"{row['cpu_us_more']:+.2f}"]
    cells += [f"{row['p99_ms']:.2f}", f"{row['memory'] / 1024:.0f}", f"{row['spans_per_request']:.3f}"]
    if "instructions" in row:
        cells += [f"{row['instructions']:,.0f}", f"{row['instructions_ratio']:.2f}"]
    return cells


def spread(ratio):
    return f"{ratio[0]:.2f} ({ratio[1]:.2f}–{ratio[2]:.2f})"


def wrong(name, samples, options):
    _, _, spans = CONTENDERS[name]
    if not all(one["right"] for one in samples):
        yield f"{name}: not all responses were right"
    wanted = sum(one["all_requests"] for one in samples) if spans else 0
    got = sum(one["spans_of_servers"] for one in samples)
    # wrk does not count the requests that it gave up at its end, one for each connection.
    given_up = 2 * options.connections * len(samples) if spans else 0
    if not wanted * (1 - options.lossy) <= got <= wanted + given_up:
        yield f"{name}: {got} spans of servers at the sink, but {wanted} requests"
    if spans and not all(one["exports_of_metrics"] for one in samples):
        yield f"{name}: no metrics at the sink"


if __name__ == "__main__":
    sys.exit(main())
