# SPDX-License-Identifier: Apache-2.0
"""What a load came to, for people and for programs."""

import collections
import json

from .checker import check

SHOWN = 20  # of errors and of violations


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def waits_of(calls):
    ordered = sorted(call.ended - call.began for call in calls if call.ended is not None)
    return {name: round(1000 * percentile(ordered, share))
            for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0))}


def longest_pause_ms(calls):
    """For how long nobody at all got a result."""
    ends = sorted(call.ended for call in calls if call.ended is not None and not call.error)
    return round(1000 * max((b - a for a, b in zip(ends, ends[1:])), default=0.0))


def errors_of(calls):
    counts = collections.Counter((c.client, c.kind.name, c.error) for c in calls if c.error)
    return [{"client": client, "kind": kind, "error": error, "count": count}
            for (client, kind, error), count in counts.most_common()]


def clients_of(calls):
    rows = {}
    for call in calls:
        row = rows.setdefault(call.client, collections.Counter())
        row["calls"] += 1
        row["errors" if call.error else call.role] += 1
    return {client: dict(row) for client, row in sorted(rows.items())}


def across(calls):
    """How many results came from another client's process."""
    makers = {(call.key, call.lead_token): call.client
              for call in calls if call.lead_token is not None}
    return sum(makers.get((call.key, call.token), call.client) != call.client
               for call in calls if not call.error)


def report_of(calls, seconds):
    errors, violations = errors_of(calls), check(calls)
    served = across(calls)
    good = bool(calls) and not errors and not violations and served > 0
    return {
        "verdict": "passed" if good else "failed",
        "seconds": round(seconds, 1),
        "calls": len(calls),
        "executions": sum(call.led is not None for call in calls),
        "from_another_client": served,
        "waits": waits_of(calls),
        "longest_pause_ms": longest_pause_ms(calls),
        "clients": clients_of(calls),
        "errors": errors,
        "violations": violations,
    }


def write(report, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")


def tell(report):
    waits = report["waits"]
    yield (f"{report['calls']} calls in {report['seconds']} s, {report['executions']} executions, "
           f"{report['from_another_client']} results from another client")
    yield (f"waits: p50 {waits['p50_ms']} ms, p99 {waits['p99_ms']} ms, max {waits['max_ms']} ms; "
           f"nobody got a result for at most {report['longest_pause_ms']} ms")
    for client, row in report["clients"].items():
        yield f"  {client}: " + ", ".join(f"{count} {what}" for what, count in row.items())
    for row in report["errors"][:SHOWN]:
        yield f"ERROR {row['count']} x {row['client']}, {row['kind']}: {row['error']}"
    for text in report["violations"][:SHOWN]:
        yield f"VIOLATION {text}"
    if report["calls"] and report["from_another_client"] == 0:
        yield "FAILED no client got a result of another one's"
    yield f"fleet: {report['verdict']}"
