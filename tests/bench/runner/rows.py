# SPDX-License-Identifier: Apache-2.0
"""What is measured: every row of the table, with the job that it comes from."""

import dataclasses
import statistics

from runner.jobs import (Beside, Client, ClientWaiters, Core, Fanout, Flow, Instructions, Rate,
                         Waiters)
from runner.servers import Cannot

OURS = "singleflightd"
BARE = "bare-core"
TLS_SUBJECTS = ("singleflightd-tls", "bare-core-tls")
SESSION_GO = "grpc-go-session"
REDIS = "redis-pipelined"
# The first is ours, through our Go client; all are driven by the same Go program.
PROGRAMS = ("singleflightd-go", "singleflightd-do", "grpc-go-singleflight", "redis-rueidisaside",
            "redis-setnx", "etcd")
KEPT_MS = 10000  # as long as the peers keep what they have

# Valgrind needs seconds to begin; one of its rows tells whether it works.
SLOW_TO_START = ("instructions.do", "instructions.do.tls", "instructions.session.tls",
                 "instructions.join64", "instructions.retain")

HIGHER = "higher"
LOWER = "lower"


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    unit: str
    better: str
    field: str  # of what the job found
    beside: dict = dataclasses.field(default_factory=dict)  # baseline: another field of the same


class Shot:
    """One job, the subjects that do it, and the rows that come of it."""

    def __init__(self, title, job, rows, subjects=(OURS, BARE), slow=()):
        self.title = title
        self.job = job
        self.rows = rows
        self.subjects = subjects
        self.slow = slow  # subjects that take too long for a part
        self.name = rows[0].name
        self.found = {subject: [] for subject in subjects}
        self.cannot = {}

    def measure(self, lab, subject, seconds):
        if subject.name in self.cannot or (self.job.only_once and self.found[subject.name]):
            return
        try:
            found = self.job.run(lab, subject, seconds)
        except Cannot as problem:
            self.cannot[subject.name] = str(problem)
            return
        for one in spread(found):
            self.found[subject.name].append(one)

    def cost(self, lab, seconds, rounds):
        """About how many seconds all rounds take."""
        times = 1 if self.job.only_once else rounds
        return times * self.job.cost(seconds) * len(lab.subjects(self))

    def failure(self):
        return self.cannot.get(self.subjects[0])

    def results(self):
        """Without the rows for which there was too little: a p999 needs 10,000 flights."""
        return [self.result(row) for row in self.rows
                if summary(self.found[self.subjects[0]], row.field)]

    def rounds(self):
        """How many there were; None when there were none, or the job has rounds of its own."""
        return None if self.job.only_once else len(self.found[self.subjects[0]]) or None

    def result(self, row):
        ours = summary(self.found[self.subjects[0]], row.field)
        result = {"name": row.name, "title": self.title, "unit": row.unit, "better": row.better,
                  **ours, "ratio": {}, "baselines": {}}
        for subject in self.subjects[1:]:
            result["baselines"][subject] = summary(self.found[subject], row.field)
        for baseline, field in row.beside.items():
            result["baselines"][baseline] = summary(self.found[self.subjects[0]], field)
        result["baselines"] = {name: found for name, found in result["baselines"].items() if found}
        for baseline, figures in result["baselines"].items():
            if figures["median"] > 0:
                result["ratio"][baseline] = round(ours["median"] / figures["median"], 4)
        if self.cannot:
            result["cannot"] = self.cannot
        return result


def spread(found):
    """bench_core tells all its rounds at once."""
    if isinstance(found.get("events_per_second"), list):
        return [{**found, "events_per_second": value} for value in found["events_per_second"]]
    return [found]


def summary(found, field):
    """Nothing when most rounds had too little for it."""
    values = [one[field] for one in found if field in one]
    if 2 * len(values) < max(1, len(found)):
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "runs": len(values), "values": values}


def flow_rows(name, unit="flights/s", field="flights_per_second"):
    """Throughput with its latency and cost."""
    return [Row(name, unit, HIGHER, field),
            Row(f"{name}.p50", "us", LOWER, "p50_us"),
            Row(f"{name}.p99", "us", LOWER, "p99_us"),
            Row(f"{name}.p999", "us", LOWER, "p999_us"),
            Row(f"{name}.cpu", "server CPU s per million flights", LOWER,
                "server_cpu_us_per_flight"),
            Row(f"{name}.client_cpu", "client CPU s per million flights", LOWER,
                "client_cpu_us_per_flight")]


RATES = (("1k", 1000), ("10k", 10000), ("100k", 100000))


def program_shots():
    """What a program gets, through our Go client and through the peers' clients."""
    def shot(name, title, job, rows=None):
        return Shot(f"Go programs: {title}", job, rows or flow_rows(f"program.{name}"), PROGRAMS)

    shots = [
        shot("1", "one caller alone", Flow()),
        shot("64", "a key each, 64 callers at a time", Flow(flights=64)),
        shot("join64", "64 callers of each key, 512 callers at a time",
             Flow(flights=8, per_flight=64),
             flow_rows("program.join64", "callers/s", "callers_per_second")),
    ]
    # Nobody here can keep 100,000 a second; what they can do stands in program.64.
    for text, rate in RATES[:2]:
        shots.append(shot(f"rate.{text}", f"a key each, {rate:,} flights begin each second",
                          Rate(rate=rate)))
    for followers, text, size in ((1, "100B", 100), (1000, "100B", 100), (10000, "100B", 100),
                                  (1000, "64KiB", 65536)):
        shots.append(shot("", f"{text} to {followers:,} who wait",
                          Fanout(followers=followers, bytes=size),
                          [Row(f"program.fanout.{followers}x{text}", "ms", LOWER, "median_ms")]))
        if followers == 10000:
            shots[-1].slow = ("etcd",)
    shots.append(shot("", "memory of client and server for each of 10,000 callers that wait",
                      Waiters(flights=10, per_flight=1000),
                      [Row("program.waiter.bytes", "bytes", LOWER, "end_to_end_bytes"),
                       Row("program.waiter.server", "bytes", LOWER, "bytes_per_caller")]))
    return shots


SESSION_SUBJECTS = (OURS, BARE, SESSION_GO)


def flow_shots():
    shots = []
    for via in ("tcp", "unix"):
        for flights in (1, 64, 512):
            name = f"do.{via}.{flights}"
            callers = "one caller alone" if flights == 1 else f"{flights} callers at a time"
            job = Flow(via=via, flights=flights, connections=1 if flights == 1 else 4)
            shots.append(Shot(f"Do over {via}, a key each, {callers}", job, flow_rows(name)))
    for flights in (1, 64, 512):
        job = Flow(over="session", flights=flights, connections=1 if flights == 1 else 4,
                   streams=1 if flights == 1 else 4)
        shots.append(Shot(f"Session, a key each, {flights} at a time",
                          job, flow_rows(f"session.{flights}"), SESSION_SUBJECTS))
    shots.append(Shot("Do over TLS, a key each, 64 callers at a time",
                      Flow(flights=64, connections=4), flow_rows("do.tls.64"), TLS_SUBJECTS))
    shots.append(Shot("Session over TLS, a key each, 512 at a time",
                      Flow(over="session", flights=512, connections=4, streams=4),
                      flow_rows("session.tls.512"), TLS_SUBJECTS))
    shots.append(Shot(
        "Session, a key each, 4 streams, 2,048 callers at a time",
        Flow(over="session", flights=2048, connections=4, streams=4),
        flow_rows("session.distinct"), SESSION_SUBJECTS))
    shots.append(Shot(
        "Session over a unix socket, a key each, 4 streams, 2,048 callers at a time",
        Flow(over="session", via="unix", flights=2048, connections=4, streams=4),
        flow_rows("session.unix.distinct")))
    shots.append(Shot(
        "Session, 64 callers of each key, 4 streams, 2,048 callers at a time",
        Flow(over="session", flights=32, per_flight=64, connections=4, streams=4),
        flow_rows("session.join64", "joins/s", "callers_per_second"), SESSION_SUBJECTS))
    shots.append(Shot(
        "Do, 64 callers of each key, 512 callers at a time",
        Flow(flights=8, per_flight=64, connections=4),
        flow_rows("do.join64", "joins/s", "callers_per_second")))
    for text, rate in RATES:
        shots.append(Shot(
            f"Session, a key each, 4 streams, {rate:,} flights begin each second",
            Rate(over="session", rate=rate, connections=4, streams=4),
            flow_rows(f"session.rate.{text}"), SESSION_SUBJECTS))
    return shots


def retain_shots():
    """The outcome is kept for as long as Redis is told to keep it."""
    def shot(name, title, flights, per_flight=1, unit="flights/s"):
        job = Flow(over="session", connections=4, streams=4, flights=flights,
                   per_flight=per_flight, retain_ms=KEPT_MS)
        field = "flights_per_second" if per_flight == 1 else "callers_per_second"
        return Shot(f"Session, the outcome kept for 10 s, {title}", job,
                    flow_rows(f"session.retain.{name}", unit, field), (OURS, REDIS))

    return [
        shot("64", "a key each, 64 callers at a time", 64),
        shot("distinct", "a key each, 2,048 callers at a time", 2048),
        shot("join64", "64 callers of each key, 2,048 callers at a time", 32, 64, "joins/s"),
    ]


def follow_shots():
    shots = []
    for over, subjects in (("session", SESSION_SUBJECTS), ("do", (OURS, BARE))):
        for followers, text in ((1, "one follower"), (63, "63 followers")):
            name = f"follow.{over}.{followers}"
            shots.append(Shot(
                f"{over.capitalize()}: from the leader's finish to the result, {text}",
                Flow(over=over, per_flight=followers + 1, connections=4, streams=4),
                [Row(f"{name}.p50", "us", LOWER, "lag_p50_us"),
                 Row(f"{name}.p99", "us", LOWER, "lag_p99_us")], subjects))
    return shots


def fanout_shots():
    shots = []
    for over in ("do", "session"):
        for followers in (100, 1000, 10000):
            for text, size in (("100B", 100), ("64KiB", 65536), ("1MiB", 1 << 20)):
                if followers * size > 2 << 30:
                    continue  # 10 GB through loopback measure loopback
                job = Fanout(over=over, followers=followers, bytes=size, connections=4,
                             streams=16)
                shots.append(Shot(
                    f"{over.capitalize()}: {text} to {followers:,} followers", job,
                    [Row(f"fanout.{over}.{followers}x{text}", "ms", LOWER, "median_ms")]))
        shots.append(Shot(
            f"{over.capitalize()}: memory that 1 MiB to 1,000 followers takes beside the waiters",
            Fanout(over=over, followers=1000, bytes=1 << 20, connections=4, streams=16, once=True),
            [Row(f"fanout.{over}.1000x1MiB.rss", "bytes", LOWER, "peak_bytes")]))
    return shots


def waiter_shots():
    memory = ("bytes", LOWER, "bytes_per_caller")
    return [
        Shot("Memory of the server for each of 10,000 callers that wait, Do",
             Waiters(flights=10, per_flight=1000, connections=4),
             [Row("waiter.do.bytes", *memory)]),
        Shot("Memory of the server for each of 100,000 callers that wait, Do",
             Waiters(flights=100, per_flight=1000, connections=4),
             [Row("waiter.do.100k.bytes", *memory)]),
        Shot("Memory of the server for each of 1,000,000 callers that wait, Session",
             Waiters(over="session", flights=1000, per_flight=1000, connections=16, streams=16),
             [Row("waiter.session.bytes", *memory)]),
        Shot("Memory of libsingleflight and of the server for each of 100,000 callers that wait",
             ClientWaiters(flights=100, per_flight=1000),
             [Row("waiter.client.bytes", "bytes", LOWER, "end_to_end_bytes",
                  {"client": "client_bytes_per_caller", "server": "bytes_per_caller"})], (OURS,)),
    ]


def beside_shots():
    def rows(name):
        return [Row(name, "us", LOWER, "p99_us",
                    {"alone": "alone_p99_us", "apart": "apart_p99_us"})]

    small = {"over": "session", "connections": 1, "streams": 1}
    return [
        Shot("p99 of small flights while a Do flight's 10,000 followers get 100 B",
             Beside(large=Fanout(followers=10000, connections=4), seconds_min=4, **small),
             rows("beside.fanout.do.p99"), (OURS,)),
        Shot("p99 of small flights while a Session flight's 10,000 followers get 100 B",
             Beside(large=Fanout(over="session", followers=10000, connections=4, streams=16),
                    **small),
             rows("beside.fanout.session.p99"), (OURS,)),
        Shot("p99 of small flights while 64 MiB pass to 4 followers",
             Beside(large=Fanout(followers=4, bytes=64 << 20, connections=1), **small),
             rows("beside.large.p99"), (OURS,)),
    ]


def core_shots():
    shots = []
    for what, order, ahead, name, title in (
            ("flights", "random", 0, "core.events", "The core: any of the open flights goes on"),
            ("flights", "random", 16, "core.ahead",
             "The core: the same, 48 events at a time and announced"),
            ("flights", "fifo", 0, "core.fifo", "The core: the oldest of the open flights goes on"),
            ("retained", "random", 0, "core.retained",
             "The core: retained outcomes are asked for")):
        for text, keys in (("1k", 1000), ("100k", 100000), ("10M", 10000000)):
            rows = [Row(f"{name}.{text}", "events/s", HIGHER, "events_per_second")]
            if name in ("core.events", "core.retained"):
                rows.append(Row(f"{name}.{text}.bytes", "bytes per key", LOWER, "bytes_per_key"))
            shots.append(Shot(f"{title}, {keys:,} keys", Core(what, order, keys, ahead), rows,
                              (OURS,)))
    return shots


def pump_shots():
    title = "two pump threads beside one"

    def rows(name):
        return flow_rows(name) + [Row(f"{name}.sleeps", "sleeps of the server's threads per flight",
                                      LOWER, "server_switches_per_flight")]

    subjects = ("pumps-2", "pumps-1")
    return [
        Shot(f"Do over tcp, one caller alone: {title}", Flow(), rows("pumps.do.1"), subjects),
        Shot(f"Do over tcp, 64 callers at a time: {title}", Flow(flights=64, connections=4),
             rows("pumps.do"), subjects),
        Shot(f"Session, a key each, 2,048 callers at a time: {title}",
             Flow(over="session", flights=2048, connections=4, streams=4),
             rows("pumps.session"), subjects),
    ]


def client_shots():
    def rows(name, unit="calls/s"):
        return [Row(name, unit, HIGHER, "callers_per_second",
                    {"frames": "frames_callers_per_second"}),
                Row(f"{name}.p50", "us", LOWER, "p50_us", {"frames": "frames_p50_us"}),
                Row(f"{name}.p99", "us", LOWER, "p99_us", {"frames": "frames_p99_us"}),
                Row(f"{name}.cpu", "client CPU s per million flights", LOWER,
                    "client_cpu_us_per_flight", {"frames": "frames_client_cpu_us_per_flight"})]

    title = "libsingleflight, one client"
    shots = [Shot(f"{title}, a key each, {flights:,} calls at a time", Client(flights=flights),
                  rows(f"client.{flights}"), (OURS,)) for flights in (1, 64, 512)]
    shots.append(Shot(f"{title}, one blocking call alone", Client(blocking=True),
                      rows("client.blocking"), (OURS,)))
    shots.append(Shot(f"{title}, a key each, 2,048 calls at a time", Client(flights=2048),
                      rows("client.distinct"), (OURS,)))
    shots.append(Shot(f"{title}, 64 calls of each key, merged in the client",
                      Client(flights=32, per_flight=64, merge=True),
                      rows("client.merge64"), (OURS,)))
    return shots


def instruction_shots():
    def shot(name, title, job, subjects=(OURS, BARE)):
        row = Row(f"instructions.{name}", "instructions per flight", LOWER, "instructions")
        return Shot(f"Instructions in the server, {title}", job, [row], subjects)

    session = {"over": "session", "connections": 4, "streams": 4}
    return [
        shot("do", "Do, 64 callers at a time", Instructions(connections=4, counts=(500, 2000))),
        shot("do.tls", "Do over TLS, 64 callers at a time",
             Instructions(connections=4, counts=(500, 2000)), TLS_SUBJECTS),
        shot("session.tls", "Session over TLS, a key each, 2,048 callers at a time",
             Instructions(flights=2048, counts=(10000, 40000), **session), TLS_SUBJECTS),
        shot("session", "Session, a key each, 2,048 callers at a time",
             Instructions(flights=2048, counts=(10000, 40000), **session)),
        shot("join64", "Session, 64 callers of each key, 2,048 callers at a time",
             Instructions(flights=32, per_flight=64, counts=(400, 1600), **session)),
        shot("retain", "Session, a key each, 2,048 callers at a time, the outcome kept for 10 s",
             Instructions(flights=2048, counts=(10000, 40000), retain_ms=KEPT_MS, **session),
             (OURS,)),
    ]


def select(names, smoke):
    """The shots with a row whose name begins with one of `names`; all without names."""
    shots = (program_shots() + flow_shots() + retain_shots() + follow_shots() + fanout_shots() + waiter_shots() + beside_shots() + core_shots() +
             pump_shots() + client_shots() + instruction_shots())

    def is_named(row):
        return not names or any(row.name == name or row.name.startswith(name + ".")
                                for name in names)

    chosen = []
    for shot in shots:
        shot.rows = [row for row in shot.rows if is_named(row)]
        if not shot.rows:
            continue
        shot.name = shot.rows[0].name
        if smoke:
            if shot.name in SLOW_TO_START:
                continue
            shot.job = shot.job.small()
        if names:
            shot.subjects = tuple(name for name in shot.subjects if name not in shot.slow)
            shot.found = {subject: [] for subject in shot.subjects}
        chosen.append(shot)
    return chosen
