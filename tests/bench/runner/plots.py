# SPDX-License-Identifier: Apache-2.0
"""Plots by gnuplot, as SVG and PNG; without gnuplot there are none."""

import os
import shutil
import subprocess

BASE = """
set encoding utf8
set style fill solid 0.85 border -1
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set key outside right top vertical Left reverse
"""
COLOURS = ["#1b6ca8", "#7fb3d5", "#666666", "#bbbbbb", "#d68910", "#b03a2e", "#922b6b", "#1e8449"]

PEERS = ["singleflightd-do", "grpc-go-singleflight", "redis-rueidisaside", "redis-setnx", "etcd"]


class Figures:
    def __init__(self, results):
        self.by_name = {result["name"]: result for result in results}

    def get(self, name, subject=None):
        """The median of ours, or of a baseline; None when it was not measured."""
        result = self.by_name.get(name)
        if result is not None and subject is not None:
            result = result["baselines"].get(subject)
        return None if result is None else result["median"]


def bars(figures, columns, unit, title):
    """`columns`: label and one (name, subject) for each group; a logarithmic bar chart."""
    groups = columns[0][2]
    columns = [column for column in columns
               if any(place and figures.get(*place) for place in column[1])]
    lines = []
    for index, group in enumerate(groups):
        values = [figures.get(*places[index]) if places[index] else None
                  for _, places, _ in columns]
        if any(value for value in values):
            lines.append(f'"{group}" ' + " ".join(str(v) if v else "NaN" for v in values))
    if not lines:
        return None
    script = [f'set title "{title}"', f'set ylabel "{unit}"', "set logscale y",
              "set style data histogram", "set style histogram clustered gap 1",
              "set xtics rotate by 0", "$data << EOD", *lines, "EOD"]
    plots = [f'$data using {i + 2}:xtic(1) title "{label}" lc rgb "{COLOURS[i % len(COLOURS)]}"'
             for i, (label, _, _) in enumerate(columns)]
    return "\n".join(script) + "\nplot " + ", ".join(plots)


def curves(figures, series, xlabel, unit, title):
    """`series`: label and (x, name, subject) points; both axes logarithmic."""
    script = [f'set title "{title}"', f'set xlabel "{xlabel}"', f'set ylabel "{unit}"',
              "set logscale xy", "set offsets graph 0.05, graph 0.05, graph 0.05, graph 0.05"]
    plots = []
    for index, (label, points) in enumerate(series):
        rows = [(x, figures.get(name, subject)) for x, name, subject in points]
        rows = [(x, y) for x, y in rows if y]
        if not rows:
            continue
        script += [f"$s{index} << EOD", *(f"{x} {y}" for x, y in rows), "EOD"]
        plots.append(f'$s{index} using 1:2 with linespoints lw 2 pt 7 '
                     f'lc rgb "{COLOURS[index % len(COLOURS)]}" title "{label}"')
    if not plots:
        return None
    return "\n".join(script) + "\nplot " + ", ".join(plots)


def programs(figures, names, groups, unit, title):
    """Our Go client and what people use instead, at the same rows."""
    columns = [("singleflightd-go", [(name, None) for name in names], groups)]
    columns += [(peer, [(name, peer) for name in names], groups) for peer in PEERS]
    return bars(figures, columns, unit, title)


def throughput(figures):
    return programs(figures, ("program.64", "program.join64"),
                    ["a key each, 64 at a time", "64 callers of a key, 512 at a time"],
                    "callers served per second", "What a Go program gets: callers served")


def latency(figures):
    return programs(figures, ("program.1.p50", "program.rate.1k.p50", "program.rate.1k.p99",
                              "program.rate.10k.p50", "program.rate.10k.p99"),
                    ["alone, p50", "1,000/s, p50", "1,000/s, p99", "10,000/s, p50",
                     "10,000/s, p99"],
                    "microseconds", "What a Go program gets: a whole flight")


def server(figures):
    names = ("session.64.cpu", "session.distinct.cpu", "session.retain.distinct.cpu")
    groups = ["64 at a time", "2,048 at a time", "2,048, outcome kept"]
    columns = [(label, [(name, subject) for name in names], groups) for label, subject in
               (("singleflightd", None), ("bare core", "bare-core"),
                ("grpc-go, same messages", "grpc-go-session"),
                ("Redis, pipelined", "redis-pipelined"))]
    return bars(figures, columns, "microseconds", "Server CPU of a flight over Session")


def fanout(figures):
    def points(over, subject=None):
        return [(count, f"fanout.{over}.{count}x100B", subject) for count in (100, 1000, 10000)]

    series = [("Session", points("session")),
              ("bare core, Session", points("session", "bare-core")),
              ("Do", points("do")), ("bare core, Do", points("do", "bare-core"))]
    return curves(figures, series, "followers", "milliseconds",
                  "100 B from one to all who wait")


def memory(figures):
    return programs(figures, ("program.waiter.bytes",), ["bytes, program and server"], "bytes",
                    "One goroutine that waits, 1,000 for a key")


def core(figures):
    def points(name):
        return [(keys, f"{name}.{text}", None)
                for keys, text in ((1000, "1k"), (100000, "100k"), (10000000, "10M"))]

    series = [("flights, any is next", points("core.events")),
              ("flights, the oldest is next", points("core.fifo")),
              ("retained outcomes, any is asked for", points("core.retained"))]
    return curves(figures, series, "keys", "events per second", "The core alone, one thread")


TERMINALS = {
    "svg": "set terminal svg size 1000,480 dynamic background rgb 'white' font 'sans,13'",
    "png": "set terminal pngcairo size 1500,720 font 'sans,15'",
}


def write(output, results):
    """Those for which there are figures; an earlier run's are gone."""
    for name in os.listdir(output):
        if name.endswith(tuple(f".{suffix}" for suffix in TERMINALS)):
            os.remove(os.path.join(output, name))
    if shutil.which("gnuplot") is None:
        return
    figures = Figures(results)
    for name, plot in (("throughput", throughput), ("latency", latency), ("server", server),
                       ("fanout", fanout), ("memory", memory), ("core", core)):
        script = plot(figures)
        if script is None:
            continue
        for suffix, terminal in TERMINALS.items():
            path = os.path.join(output, f"{name}.{suffix}")
            whole = f'{terminal}\nset output "{path}"\n{BASE}\n{script}\n'
            # It warns of an axis with one point.
            subprocess.run(["gnuplot"], input=whole, text=True, check=True,
                           stderr=subprocess.DEVNULL)
