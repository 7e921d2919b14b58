# SPDX-License-Identifier: Apache-2.0
"""The jobs: what bench_load, bench_core and the peers are asked to do, and what came of it."""

import dataclasses
import json
import shutil
import subprocess

from runner.servers import Cannot

TIMEOUT_SECONDS = 200
# The server keeps a million outcomes; more would be refused, and cost nothing.
RETAIN_SECONDS_MAX = 0.5


def last_object(text):
    """The last line of JSON that a program printed."""
    lines = text.strip().splitlines()
    if not lines:
        raise Cannot("it printed nothing")
    return json.loads(lines[-1])


def call(arguments):
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, check=False,
                              timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Cannot(f"it did not end within {TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Cannot(lines[-1].split(": ", 1)[-1])
    return last_object(done.stdout)


@dataclasses.dataclass(frozen=True)
class Job:
    """What is the same for all that go to a server."""

    over: str = "do"  # or "session"
    via: str = "tcp"  # or "unix"
    connections: int = 1
    streams: int = 1
    bytes: int = 100

    word = ""
    only_once = False  # the figure is the same in every round

    def flags(self, _seconds):
        raise NotImplementedError

    def load_arguments(self, lab, server, seconds):
        arguments = [lab.load, self.word, "--target", server.addresses[self.via], "--pid",
                     str(server.pid), "--connections", str(self.connections), "--streams",
                     str(self.streams), "--bytes", str(self.bytes)]
        if self.over == "session":
            arguments.append("--session")
        return arguments + self.flags(seconds)

    def run(self, lab, subject, seconds):
        with subject.open() as server:
            if subject.is_peer:
                arguments = [lab.peers, self.word, subject.name, "--target",
                             server.addresses["tcp"], "--pid", str(server.pid), "--bytes",
                             str(self.bytes)]
                return call(arguments + self.flags(seconds))
            return call(self.load_arguments(lab, server, seconds) + list(subject.load_flags))


@dataclasses.dataclass(frozen=True)
class Flow(Job):
    """Flights one after the other, so many at the same time, each with so many callers."""

    flights: int = 1
    per_flight: int = 1
    retain_ms: int = 0  # bench_load only: what the Go program drives keeps values anyway

    word = "flow"

    def flags(self, seconds):
        if self.retain_ms:
            seconds = min(seconds, RETAIN_SECONDS_MAX)
        flags = ["--flights", str(self.flights), "--per-flight", str(self.per_flight), "--seconds",
                 str(seconds), "--warmup", str(seconds / 4)]
        return flags + (["--retain", str(self.retain_ms)] if self.retain_ms else [])

    def cost(self, seconds):
        return 0.15 + 1.25 * seconds

    def small(self):
        return dataclasses.replace(self, flights=min(self.flights, 16),
                                   per_flight=min(self.per_flight, 8))


@dataclasses.dataclass(frozen=True)
class Rate(Flow):
    """Flights that begin at fixed times, whether or not earlier ones have ended: an open loop. Each
    counts from when it was due. `flights` may be under way at the same time.
    """

    rate: int = 1000
    flights: int = 8192

    def seconds(self, seconds):
        return max(seconds, 1200 / self.rate)  # a p99 needs 1,000 flights

    def flags(self, seconds):
        return super().flags(self.seconds(seconds)) + ["--rate", str(self.rate)]

    def cost(self, seconds):
        return super().cost(self.seconds(seconds))

    def small(self):
        return dataclasses.replace(self, rate=max(5000, self.rate), flights=64)


@dataclasses.dataclass(frozen=True)
class Fanout(Job):
    """One result to many who wait for it."""

    followers: int = 100
    once: bool = False  # the first round counts: nothing has been allocated before it

    word = "fanout"

    def flags(self, seconds):
        return ["--followers", str(self.followers), "--seconds", str(seconds), "--rounds",
                "1" if self.once else "1000"]

    def cost(self, seconds):
        return 0.3 + seconds + self.followers * (self.bytes / 4e8 + 1.5e-4)

    def small(self):
        return dataclasses.replace(self, followers=min(self.followers, 20))


@dataclasses.dataclass(frozen=True)
class Waiters(Job):
    """Callers that wait, so many for each of so many keys."""

    flights: int = 1
    per_flight: int = 1

    word = "waiters"
    only_once = True

    def flags(self, _seconds):
        return ["--flights", str(self.flights), "--per-flight", str(self.per_flight)]

    def cost(self, _seconds):
        return 0.3 + self.flights * self.per_flight * (5e-5 if self.over == "do" else 2e-6)

    def small(self):
        return dataclasses.replace(self, flights=4, per_flight=50)


@dataclasses.dataclass(frozen=True)
class Beside(Job):
    """Small flights at a steady rate while somebody else's large one is delivered.

    Only flights that were under way between a finish of the large one and its last result count.
    Beside it, the same without the large one ("alone"), and the same with the large one at another
    server on the same machine ("apart"), which tells what of the difference is the machine's and
    not the server's. The small callers are a process of their own, and the large one's callers,
    who take a CPU of their own, come after everybody else (nice).
    """

    large: Fanout = None
    rate: int = 2000
    seconds_min: float = 1  # until several large ones have been delivered
    pause: float = 0.1  # between the last join of the large one and its finish

    def flow(self, seconds):
        return ["--flights", "4096", "--rate", str(self.rate), "--seconds", str(seconds),
                "--warmup", "0.2", "--trace"]

    def cost(self, seconds):
        return 3 + 4 * max(seconds, self.seconds_min)

    def small(self):
        # Still long enough for small flights to fall into it.
        return dataclasses.replace(self, seconds_min=1, pause=0.01, large=dataclasses.replace(
            self.large, followers=min(self.large.followers, 300)))

    def run(self, lab, subject, seconds):
        seconds = max(seconds, self.seconds_min)
        with subject.open() as server, subject.open() as other:
            small = Flow(over=self.over, connections=self.connections, streams=self.streams)
            arguments = small.load_arguments(lab, server, seconds)
            arguments = arguments[:arguments.index("--flights")] + self.flow(seconds)
            alone = percentile(call(arguments)["trace_us"], 0.99)
            apart = self.p99_with_large(lab, arguments, other, seconds)
            beside = self.p99_with_large(lab, arguments, server, seconds)
        return {"alone_p99_us": alone, "apart_p99_us": apart, "p99_us": beside}

    def p99_with_large(self, lab, arguments, server, seconds):
        large = subprocess.Popen(
            ["nice", "-n", "19"] + self.large.load_arguments(lab, server, 1 + seconds) +
            ["--pause", str(self.pause)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            large.stdout.readline()  # its first round is over
            small = call(arguments)
            rest, problem = large.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            large.kill()
        if large.returncode != 0:
            raise Cannot(problem.strip())
        windows = last_object(rest)["windows_us"]
        return percentile(overlapping(small["trace_us"], windows), 0.99)


def percentile(samples, part):
    took = sorted(sample[1] for sample in samples)
    if not took:
        raise Cannot("no small flight was under way during the large one")
    return took[min(len(took) - 1, int(part * len(took)))]


def overlapping(samples, windows):
    return [(begun, took) for begun, took in samples
            if any(begun < end and begun + took > start for start, end in windows)]


@dataclasses.dataclass(frozen=True)
class Client(Flow):
    """A flow through libsingleflight, and the same with hand-made frames beside it."""

    over: str = "session"
    merge: bool = False
    blocking: bool = False

    def cost(self, seconds):
        return 2 * super().cost(seconds)

    def run(self, lab, subject, seconds):
        with subject.open() as server:
            arguments = [lab.client, "--target", server.addresses[self.via], "--pid",
                         str(server.pid), "--bytes", str(self.bytes)] + self.flags(seconds)
            if self.merge:
                arguments.append("--merge")
            if self.blocking:
                arguments.append("--blocking")
            found = call(arguments)
            frames = call(self.load_arguments(lab, server, seconds))
        return found | {f"frames_{name}": value for name, value in frames.items()}


@dataclasses.dataclass(frozen=True)
class ClientWaiters(Waiters):
    """The same through libsingleflight: what client and server take together."""

    over: str = "session"

    def run(self, lab, subject, seconds):
        with subject.open() as server:
            return call([lab.client, "--wait", "--target", server.addresses[self.via], "--pid",
                         str(server.pid)] + self.flags(seconds))


@dataclasses.dataclass(frozen=True)
class Core:
    """The core alone. All rounds are in one process, because filling the table takes long."""

    what: str = "flights"
    order: str = "random"
    keys: int = 1000
    ahead: int = 0

    bytes_needed = 1000  # by each key, generously
    only_once = True

    def cost(self, seconds):
        return 0.1 + self.keys * 2e-6 + 1.25 * seconds

    def small(self):
        return dataclasses.replace(self, keys=min(self.keys, 5000))

    def run(self, lab, _subject, seconds):
        if self.keys * self.bytes_needed > available_bytes():
            raise Cannot(f"{self.keys} keys need more memory than this machine has free")
        return call([lab.core, self.what, "--keys", str(self.keys), "--order", self.order,
                     "--ahead", str(self.ahead), "--seconds", str(seconds), "--runs", str(lab.options.runs)])


@dataclasses.dataclass(frozen=True)
class Instructions(Job):
    """What one flight costs the server in instructions, as callgrind counts them: a figure that
    does not depend on how busy the machine is. The difference of a long and a short run, so that
    start and end do not count.
    """

    flights: int = 64
    per_flight: int = 1
    retain_ms: int = 0
    counts: tuple = (1000, 4000)

    only_once = True

    def cost(self, _seconds):
        return 25

    def small(self):
        return dataclasses.replace(self, counts=(100, 200))

    def run(self, lab, subject, _seconds):
        short, long = (self.count(lab, subject, count) for count in self.counts)
        return {"instructions": (long - short) / (self.counts[1] - self.counts[0])}

    def count(self, lab, subject, count):
        if shutil.which("valgrind") is None:
            raise Cannot("there is no valgrind on this machine")
        with subject.open(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]) \
                as server:
            small = Flow(over=self.over, connections=self.connections, streams=self.streams,
                         flights=self.flights, per_flight=self.per_flight,
                         retain_ms=self.retain_ms)
            arguments = small.load_arguments(lab, server, TIMEOUT_SECONDS / 2)
            arguments += subject.load_flags
            arguments[arguments.index("--warmup") + 1] = "0"
            arguments[arguments.index("--seconds") + 1] = str(TIMEOUT_SECONDS / 2)
            found = call(arguments + ["--count", str(count)])
            if found["flights"] < count:
                raise Cannot(f"the time was over after {found['flights']} of {count} flights")
            return server.end_and_read(r"Collected : (\d+)")


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def seconds_for(shots, lab, options, part_seconds):
    """How long each measurement may take, so that a part stays under its minute."""
    if options.smoke:
        return 0.03
    if not options.names:
        return 1.0
    for seconds in (1.0, 0.7, 0.5, 0.35, 0.25):
        whole = sum(shot.cost(lab, seconds, options.runs) for shot in shots)
        if whole < part_seconds:
            return seconds
    return 0.2
