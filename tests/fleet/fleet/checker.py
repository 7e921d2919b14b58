# SPDX-License-Identifier: Apache-2.0
"""What all callers of all clients saw together, held against what is promised to them.

Times are when this process wrote a command or read an event, so an event may have happened a
little before; every check allows for that in the caller's favour, and for nothing else.
"""

import collections

# A function that lost its lead is told within 100 ms; the rest is a busy machine's.
LOST_TOLD_S = 0.5


def check(calls):
    """Everything that no caller should have seen, as texts."""
    found = []
    runs = {}
    for call in calls:
        if call.lead_token is not None:
            other = runs.setdefault((call.key, call.lead_token), call)
            if other is not call:
                found.append(f"key {call.key}: {other.name} and {call.name} led with the same "
                             f"token {call.lead_token}")
    followers = collections.defaultdict(list)
    for call in calls:
        followers[call.client, call.key, call.token].append(call)
    for call in calls:
        if call.ended is None or call.error:
            continue
        problem = judge(call, runs.get((call.key, call.token)), followers)
        if problem:
            found.append(f"key {call.key}, {call.client}, {call.name}: {problem}")
    return found + check_runs(calls)


def judge(call, run, followers):
    """What is wrong with the result of `call`, which `run` is said to have made."""
    if call.done.get("failed_open"):
        return "it failed open"
    if run is None:
        return f"token {call.token}: nobody was told to lead with it"
    if call.done.get("value_sha256") != run.value_sha256:
        return f"token {call.token}: not the value that {run.name} made"
    if bool(call.done.get("led")) != (run is call):
        return f"it says led {call.done.get('led')}, and {run.name} made the value"
    if call.kind.fresh and run.led < call.began:
        return f"it is fresh, and {run.name} led {call.began - run.led:.3f} s before it began"
    return judge_age(call, run, followers[call.client, call.key, call.token])


def judge_age(call, run, same):
    ended = run.ended if run.ended is not None else call.ended
    age_s = call.began - ended
    if age_s > call.kind.age_s and not merged(call, ended, same):
        return f"its value was made {age_s:.3f} s before it began, {call.kind.age_s} s are allowed"
    told_s = (call.done.get("age_ms") or 0) / 1000
    if told_s > call.kind.age_s:
        return f"it was told an age of {told_s:.3f} s, {call.kind.age_s} s are allowed"
    return None


def merged(call, ended, same):
    """Whether `call` could merge, in its process, with one that waited for the result already."""
    return any(other.began <= ended and other.ended >= call.began for other in same)


def check_runs(calls):
    """At most one function of a key runs at a time, and tokens grow."""
    found = []
    by_key = collections.defaultdict(list)
    for call in calls:
        if call.led is not None:
            by_key[call.key].append(call)
    for key, runs in by_key.items():
        runs.sort(key=lambda run: run.led)
        for before, after in zip(runs, runs[1:]):
            if after.led < end_of(before):
                found.append(f"key {key}: {after.name} began to run while {before.name} did, "
                             f"{end_of(before) - after.led:.3f} s before it was told to end")
            if after.lead_token <= before.lead_token:
                found.append(f"key {key}: {after.name} led with token {after.lead_token} after "
                             f"{before.name} had led with {before.lead_token}")
    return found


def end_of(run):
    """When the function surely still ran: it ends after it was told to, or when it lost the lead."""
    ends = [at for at in (run.told, run.ended) if at is not None]
    if run.lost is not None:
        ends.append(run.lost - LOST_TOLD_S)
    return min(ends, default=run.led)
