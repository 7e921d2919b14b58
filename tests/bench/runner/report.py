# SPDX-License-Identifier: Apache-2.0
"""The results as JSON and as a table in Markdown."""

import json
import os
import shutil

from runner import goals
from runner.servers import HERE

DOCS = os.path.normpath(os.path.join(HERE, "..", "..", "..", "docs"))
# What a section of docs/BENCHMARKS.md is between; `--publish SECTION` writes it anew.
BEGIN = "<!-- begin: {} -->"
END = "<!-- end: {} -->"
PLOTS = (("throughput", "What a Go program gets: callers served per second"),
         ("latency", "What a Go program gets: latency"), ("server", "Server CPU of a flight"),
         ("fanout", "From one to all who wait"), ("memory", "Memory of those who wait"),
         ("core", "The core alone"))

PARTS = {
    "program": "What a program gets",
    "do": "Do",
    "session": "Session",
    "follow": "How soon a follower has the result",
    "fanout": "Fan-out",
    "waiter": "Memory of those who wait",
    "beside": "Fairness",
    "core": "The core alone",
    "pumps": "Pump threads",
    "client": "The client library",
    "instructions": "Instructions",
}


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.2f}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:,.1f}k"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cell(result, baseline):
    figures = result["baselines"].get(baseline)
    if figures is None:
        return "cannot" if baseline in result.get("cannot", {}) else ""
    ratio = result["ratio"].get(baseline)
    text = number(figures["median"])
    return text if ratio is None else f"{text} ({number(ratio)})"


DIRECTIONS = {"higher": "more", "lower": "less"}


def part_table(results, by_name):
    baselines = []
    for result in results:
        for name in list(result["baselines"]) + list(result.get("cannot", {})):
            if name not in baselines:
                baselines.append(name)
    order = ["bare-core", "bare-core-tls", "frames", "client", "server", "alone", "apart", "pumps-1",
             "grpc-go-session", "redis-pipelined", "singleflightd-do", "grpc-go-singleflight",
             "redis-rueidisaside", "redis-setnx", "etcd"]
    baselines.sort(key=lambda name: order.index(name) if name in order else len(order))
    has_goals = any(goals.cell(result, by_name) for result in results)
    head = ["name", "unit", "better", "median", "min to max"] + baselines
    head += ["goal"] if has_goals else []
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for result in results:
        cells = [result["name"], result["unit"], DIRECTIONS[result["better"]],
                 f"**{number(result['median'])}**",
                 f"{number(result['min'])} to {number(result['max'])}"]
        cells += [cell(result, name) for name in baselines]
        cells += [goals.cell(result, by_name)] if has_goals else []
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def notes(shots):
    seen = []
    for shot in shots:
        for subject, reason in shot.cannot.items():
            text = f"- {shot.name}, {subject}: {reason}"
            if text not in seen:
                seen.append(text)
    return ["", "Not measured:", ""] + seen if seen else []


def table(shots, results):
    lines = []
    by_name = {result["name"]: result for result in results}
    for part, title in PARTS.items():
        mine = [result for result in results if result["name"].split(".")[0] == part]
        if mine:
            lines += [f"### {title}", ""] + part_table(mine, by_name) + [""]
    return "\n".join(lines + notes(shots)) + "\n"


def environment_lines(facts):
    modules = ", ".join(f"{name} {version}" for name, version in facts["go_modules"].items())
    gib = facts["memory_bytes"] / (1 << 30)
    lines = [
        f"- `{facts['command']}` at {facts['revision']}, {facts['when']}; {facts['rounds']}, "
        f"{facts['seconds_each']} s for each measurement",
        f"- {facts['cpus']} CPUs ({facts['cpu']}), {gib:.0f} GiB, {facts['system']}, kernel "
        f"{facts['kernel']}; load average {facts['load_average_before']} before",
        f"- {facts['compiler']}, {facts['build_type']}; "
        f"{', '.join(filter(None, (facts['daemon'], facts['grpc'])))}",
        f"- Redis {facts['redis'] or 'none'}, etcd {facts['etcd'] or 'none'}, "
        f"{facts['go'] or 'no Go'}; {modules}",
    ]
    for name, reason in facts["missing_peers"].items():
        lines.append(f"- without {name}: {reason}")
    return lines


def write(output, facts, shots, results):
    with open(os.path.join(output, "results.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    with open(os.path.join(output, "environment.json"), "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
    with open(os.path.join(output, "table.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(environment_lines(facts)) + "\n\n" + table(shots, results))


def document():
    with open(os.path.join(DOCS, "BENCHMARKS.md"), encoding="utf-8") as file:
        return file.read()


def has_section(name):
    return BEGIN.format(name) in document()


def publish(output, facts, shots, results, section):
    """Replaces a section of docs/BENCHMARKS.md, and the plots beside it."""
    folder = os.path.join(DOCS, "benchmarks")
    os.makedirs(folder, exist_ok=True)
    begin, end = BEGIN.format(section), END.format(section)
    lines = [begin, "", *environment_lines(facts), ""]
    for name, title in PLOTS:
        plot = os.path.join(output, f"{name}.svg")
        if os.path.exists(plot):
            shutil.copy(plot, os.path.join(folder, f"{section}-{name}.svg"))
            lines += [f"![{title}](benchmarks/{section}-{name}.svg)", ""]
    lines += [table(shots, results), end]
    before, rest = document().split(begin)
    after = rest.split(end)[1]
    with open(os.path.join(DOCS, "BENCHMARKS.md"), "w", encoding="utf-8") as file:
        file.write(before + "\n".join(lines) + after)


def failures(shots):
    """What of our own could not be measured."""
    texts = []
    for shot in shots:
        reason = shot.failure()
        if reason is not None:
            texts.append(f"{shot.name}: {reason}")
    return texts
