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

SUBJECTS = ["grpc-go-singleflight", "redis-rueidisaside", "redis-setnx", "etcd"]


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


def throughput(figures):
    groups = ["a key each", "64 callers of a key"]
    columns = [("Session", [("session.distinct", None), ("session.join64", None)], groups),
               ("bare core, Session", [("session.distinct", "bare-core"),
                                       ("session.join64", "bare-core")], groups),
               ("Do", [("do.tcp.64", None), ("do.join64", None)], groups),
               ("bare core, Do", [("do.tcp.64", "bare-core"), ("do.join64", "bare-core")],
                groups)]
    for name in SUBJECTS:
        columns.append((name, [("session.distinct", name), ("session.join64", name)], groups))
    return bars(figures, columns, "callers served per second", "Callers served")


def latency(figures):
    groups = ["p50", "p99", "p99.9"]

    def places(name, subject=None):
        return [(f"{name}.{part}", subject) for part in ("p50", "p99", "p999")]

    columns = [("Session", places("session.1"), groups),
               ("bare core, Session", places("session.1", "bare-core"), groups),
               ("Do", places("do.tcp.1"), groups),
               ("bare core, Do", places("do.tcp.1", "bare-core"), groups)]
    for name in SUBJECTS:
        columns.append((name, places("do.tcp.1", name), groups))
    return bars(figures, columns, "microseconds", "One caller alone: a whole flight")


def fanout(figures):
    def points(over, subject=None):
        return [(count, f"fanout.{over}.{count}x100B", subject) for count in (100, 1000, 10000)]

    series = [("Session", points("session")),
              ("bare core, Session", points("session", "bare-core")),
              ("Do", points("do")), ("bare core, Do", points("do", "bare-core"))]
    for name in SUBJECTS:
        series.append((name, points("do", name)))
    return curves(figures, series, "followers", "milliseconds",
                  "100 B from one to all who wait")


def memory(figures):
    groups = ["bytes in the server"]
    columns = [("Session, 1M", [("waiter.session.bytes", None)], groups),
               ("bare core, Session", [("waiter.session.bytes", "bare-core")], groups),
               ("Do, 10k", [("waiter.do.bytes", None)], groups),
               ("bare core, Do", [("waiter.do.bytes", "bare-core")], groups),
               ("grpc-go-singleflight", [("waiter.do.bytes", "grpc-go-singleflight")], groups)]
    return bars(figures, columns, "bytes", "One caller that waits")


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
    if shutil.which("gnuplot") is None:
        return
    figures = Figures(results)
    for name, plot in (("throughput", throughput), ("latency", latency), ("fanout", fanout),
                       ("memory", memory), ("core", core)):
        script = plot(figures)
        if script is None:
            continue
        for suffix, terminal in TERMINALS.items():
            path = os.path.join(output, f"{name}.{suffix}")
            whole = f'{terminal}\nset output "{path}"\n{BASE}\n{script}\n'
            # It warns of an axis with one point.
            subprocess.run(["gnuplot"], input=whole, text=True, check=True,
                           stderr=subprocess.DEVNULL)
