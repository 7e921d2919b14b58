# SPDX-License-Identifier: Apache-2.0
"""What a row is to reach, and whether it does."""

import dataclasses

# In both directions: less than this is the machine's mood.
NOISE = 1.25


@dataclasses.dataclass(frozen=True)
class Goal:
    """A bound for the median, or for its ratio to each of some baselines or to another row."""

    bound: float
    text: str
    baselines: tuple = ()
    row: str = ""

    def met(self, result, by_name):
        """True or false; None when what it is compared with was not measured."""
        values = [result["median"]]
        if self.baselines:
            values = [result["ratio"][name] for name in self.baselines if name in result["ratio"]]
        elif self.row:
            other = by_name.get(self.row)
            values = [result["median"] / other["median"]] if other else []
        if not values:
            return None
        if result["better"] == "higher":
            return min(values) >= self.bound
        return max(values) <= self.bound


def ratio(bound, *baselines):
    return Goal(bound, f"{bound:g} of {', '.join(baselines)}", baselines=baselines)


def of_row(bound, row):
    return Goal(bound, f"{bound:g} of {row}", row=row)


GO = "grpc-go-singleflight"
REDIS = ("redis-rueidisaside", "redis-setnx")
BARE = "bare-core"

GOALS = {
    "program.64": ratio(3, GO, *REDIS),
    "program.join64": ratio(10, GO, *REDIS),
    "program.rate.10k.p99": ratio(1, GO, *REDIS),
    "do.tcp.1.p50": ratio(1.15, BARE),
    "do.unix.1.p50": ratio(1.15, BARE),
    "do.tcp.64": ratio(0.9, BARE),
    "session.distinct": Goal(1e6, "1M"),
    "session.distinct.cpu": ratio(2, BARE),
    "session.join64": Goal(2e6, "2M"),
    "fanout.do.1000x100B": ratio(1.15, BARE),
    "fanout.do.10000x100B": ratio(1.15, BARE),
    "fanout.do.1000x1MiB": ratio(1.15, BARE),
    "fanout.do.1000x1MiB.rss": Goal(3 << 20, "3 MiB"),
    "fanout.session.10000x100B": Goal(8, "8 ms"),
    "waiter.do.bytes": Goal(13500, "13.5k"),
    "waiter.session.bytes": Goal(512, "512"),
    "waiter.client.bytes": Goal(1024, "1,024"),
    "beside.fanout.do.p99": ratio(NOISE, "apart"),
    "beside.fanout.session.p99": ratio(NOISE, "apart"),
    "beside.large.p99": ratio(NOISE, "apart"),
    "core.events.1k": Goal(5e6, "5M"),
    "core.events.100k": Goal(5e6, "5M"),
    "core.events.10M": of_row(0.4, "core.events.1k"),
    "core.ahead.10M": of_row(0.67, "core.ahead.1k"),
    "instructions.session": Goal(3800, "3,800"),
    "instructions.retain": Goal(5000, "5,000"),
    "instructions.join64": Goal(64 * 2100, "134k"),
}


def cell(result, by_name):
    """For the table: the goal, and whether it is met."""
    goal = GOALS.get(result["name"])
    if goal is None:
        return ""
    met = goal.met(result, by_name)
    return goal.text if met is None else f"{goal.text}: {'met' if met else 'missed'}"
