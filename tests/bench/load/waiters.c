// SPDX-License-Identifier: Apache-2.0
#include "bench/load/load.h"
#include "bench/load/process.h"

#include <inttypes.h>
#include <stdio.h>

// So many joins may be unanswered.
enum { JOINS_MAX = 1024 };

// Callers 0, n, 2n … lead flights of n callers; nobody finishes.
struct waiters {
    const struct load_plan *plan;
    struct load_link *link;
    uint32_t first_key;
    uint32_t callers;
    uint32_t joined;
    uint32_t admitted;
    bool is_admitted; // all that were to be
    uint32_t wanted;
};

static void join_more(struct waiters *waiters)
{
    while (waiters->joined < waiters->wanted && waiters->joined - waiters->admitted < JOINS_MAX) {
        uint32_t key = waiters->first_key + waiters->joined / waiters->plan->per_flight;
        load_join(waiters->link, waiters->joined++, key);
    }
}

static void on_admitted(void *context, uint32_t caller)
{
    struct waiters *waiters = context;
    (void)caller;
    waiters->admitted++;
    join_more(waiters);
    waiters->is_admitted = waiters->admitted == waiters->wanted;
}

static void on_result(void *context, uint32_t caller, uint64_t bytes)
{
    (void)context;
    (void)bytes;
    load_die("caller %u got a result that nobody posted", caller);
}

static void join_until(struct waiters *waiters, uint32_t wanted)
{
    waiters->wanted = wanted;
    waiters->is_admitted = false;
    join_more(waiters);
    load_link_poll_until(waiters->link, &waiters->is_admitted);
}

void load_waiters(const struct load_plan *plan)
{
    static struct waiters waiters;
    struct load_options options = plan->link;
    waiters.plan = plan;
    waiters.callers = plan->flights * plan->per_flight;
    options.callers = waiters.callers;
    options.events = (struct load_events){on_admitted, on_admitted, on_result, &waiters};
    waiters.first_key = (uint32_t)load_now_ns();
    waiters.link = load_link_open(&options);
    // The first few pay for connections and threads.
    uint32_t first = waiters.callers / 100 + options.connections;
    join_until(&waiters, first);
    uint64_t before = process_rss_bytes(plan->server_pid);
    uint64_t start_ns = load_now_ns();
    join_until(&waiters, waiters.callers);
    double seconds = (double)(load_now_ns() - start_ns) / 1e9;
    uint64_t after = process_rss_bytes(plan->server_pid);
    double callers = (double)(waiters.callers - first);
    printf("{\"callers\": %u, \"bytes_per_caller\": %.1f, \"joins_per_second\": %.1f, "
           "\"rss_bytes\": %" PRIu64 "}\n",
           waiters.callers, ((double)after - (double)before) / callers, callers / seconds, after);
}
