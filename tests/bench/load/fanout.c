// SPDX-License-Identifier: Apache-2.0
#include "bench/load/load.h"
#include "bench/load/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// So many joins may be unanswered.
enum { JOINS_MAX = 512, SAMPLES_MAX = 4096 };

// Caller 0 leads, the others follow.
struct fanout {
    const struct load_plan *plan;
    struct load_link *link;
    uint32_t key;
    uint32_t joined;
    uint32_t admitted;
    uint32_t ended;
    bool is_admitted; // all are
    bool is_ended;    // all have the result
    uint64_t finished_ns;
    uint64_t last_ns; // when the last follower had its result
    unsigned count;
    double took_ms[SAMPLES_MAX];
    uint64_t windows_ns[SAMPLES_MAX][2]; // from each finish to the last result
    uint64_t peak_bytes;                 // the largest growth of the server's memory by a finish
    uint64_t waiting_bytes;
};

static void join_more(struct fanout *fanout)
{
    while (fanout->joined <= fanout->plan->followers &&
           fanout->joined - fanout->admitted < JOINS_MAX)
        load_join(fanout->link, fanout->joined++, fanout->key);
}

static void admitted(struct fanout *fanout)
{
    fanout->admitted++;
    join_more(fanout);
    fanout->is_admitted = fanout->admitted == fanout->plan->followers + 1;
}

static void on_lead(void *context, uint32_t caller)
{
    if (caller != 0)
        load_die("caller %u leads instead of the first one", caller);
    admitted(context);
}

static void on_follow(void *context, uint32_t caller)
{
    if (caller == 0)
        load_die("the first caller follows: somebody else uses its key");
    admitted(context);
}

static void on_result(void *context, uint32_t caller, uint64_t bytes)
{
    struct fanout *fanout = context;
    if (caller != 0) {
        if (bytes < fanout->plan->link.value_bytes)
            load_die("a follower did not get the whole value");
        fanout->last_ns = load_now_ns();
    }
    fanout->ended++;
    fanout->is_ended = fanout->ended == fanout->plan->followers + 1;
}

// Lets the server come to rest after the joins.
static void pause_for(struct fanout *fanout, double seconds)
{
    uint64_t end_ns = load_now_ns() + (uint64_t)(seconds * 1e9);
    while (load_now_ns() < end_ns)
        load_link_poll(fanout->link, end_ns);
}

static void run_round(struct fanout *fanout)
{
    int pid = fanout->plan->server_pid;
    fanout->key++;
    fanout->admitted = 0;
    fanout->ended = 0;
    fanout->is_admitted = false;
    fanout->is_ended = false;
    fanout->joined = 1;
    load_join(fanout->link, 0, fanout->key);
    load_link_poll_until(fanout->link, &fanout->is_admitted);
    pause_for(fanout, fanout->plan->pause);
    process_rss_peak_reset(pid);
    fanout->waiting_bytes = process_rss_bytes(pid);
    fanout->finished_ns = load_now_ns();
    load_finish(fanout->link, 0);
    load_link_poll_until(fanout->link, &fanout->is_ended);
    uint64_t peak = process_rss_peak_bytes(pid);
    uint64_t grown = peak > fanout->waiting_bytes ? peak - fanout->waiting_bytes : 0;
    if (fanout->count > 0 || fanout->plan->rounds == 1) {
        if (grown > fanout->peak_bytes)
            fanout->peak_bytes = grown;
    }
    fanout->took_ms[fanout->count % SAMPLES_MAX] =
        (double)(fanout->last_ns - fanout->finished_ns) / 1e6;
    fanout->windows_ns[fanout->count % SAMPLES_MAX][0] = fanout->finished_ns;
    fanout->windows_ns[fanout->count % SAMPLES_MAX][1] = fanout->last_ns;
    fanout->count++;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

// The first round warms up, unless it is the only one.
static void report(struct fanout *fanout)
{
    unsigned count = fanout->count < SAMPLES_MAX ? fanout->count : SAMPLES_MAX;
    unsigned first = count > 1 ? 1 : 0;
    double *samples = fanout->took_ms + first;
    count -= first;
    qsort(samples, count, sizeof *samples, compare);
    printf("{\"median_ms\": %.4f, \"min_ms\": %.4f, \"max_ms\": %.4f, \"rounds\": %u, "
           "\"peak_bytes\": %" PRIu64 ", \"waiting_bytes\": %" PRIu64 ", \"windows_us\": [",
           samples[count / 2], samples[0], samples[count - 1], count, fanout->peak_bytes,
           fanout->waiting_bytes);
    for (unsigned i = 0; i < count + first; i++)
        printf("%s[%.1f, %.1f]", i == 0 ? "" : ", ", (double)fanout->windows_ns[i][0] / 1e3,
               (double)fanout->windows_ns[i][1] / 1e3);
    puts("]}");
}

void load_fanout(const struct load_plan *plan)
{
    static struct fanout fanout;
    struct load_options options = plan->link;
    fanout.plan = plan;
    options.callers = plan->followers + 1;
    options.events = (struct load_events){on_lead, on_follow, on_result, &fanout};
    fanout.key = (uint32_t)load_now_ns();
    fanout.link = load_link_open(&options);
    uint64_t end_ns = load_now_ns() + (uint64_t)(plan->seconds * 1e9);
    do {
        run_round(&fanout);
        if (fanout.count == 1) {
            // Who starts this program to disturb others waits for this line.
            puts("{\"started\": true}");
            fflush(stdout);
        }
    } while (fanout.count < plan->rounds && (fanout.count < 2 || load_now_ns() < end_ns));
    report(&fanout);
}
