// SPDX-License-Identifier: Apache-2.0
#include "bench/load/histogram.h"
#include "bench/load/load.h"
#include "bench/load/process.h"
#include "bench/load/ticker.h"

#include <stdio.h>

enum { SAMPLES_MAX = 1 << 18 };

// The ticker wakes us for the flights that are due, at most so often.
enum { TICK_NS_MIN = 50000 };

struct sample {
    uint64_t begun_ns;
    uint64_t took_ns;
};

struct flight {
    uint64_t begun_ns; // with a rate: when it was due, which may be earlier than it really began
    uint64_t finished_ns;
    uint32_t leader;
    uint32_t admitted;
    uint32_t ended;
};

struct flow {
    const struct load_plan *plan;
    struct load_link *link;
    struct flight *flights;
    uint32_t *idle; // flights that wait for their turn when there is a rate
    uint32_t idle_count;
    uint32_t next_key;
    uint64_t start_ns; // with a rate: flight n is due n / rate seconds later
    uint64_t begun;    // flights
    uint64_t over;     // flights that have ended
    bool is_counting;
    bool is_stopping;
    uint64_t ended; // flights, while counting
    uint64_t led;   // leads, while counting
    struct histogram latency;
    struct histogram lag; // of each follower: from the leader's finish to its result
    struct sample *trace; // SAMPLES_MAX of them when each flight is to be told
    uint32_t trace_count;
};

static void flight_begin(struct flow *flow, uint32_t index, uint64_t begun_ns)
{
    struct flight *flight = &flow->flights[index];
    uint32_t per_flight = flow->plan->per_flight;
    uint32_t key = flow->next_key++;
    *flight = (struct flight){.begun_ns = begun_ns};
    flow->begun++;
    for (uint32_t i = 0; i < per_flight; i++)
        load_join(flow->link, index * per_flight + i, key);
}

static void flight_end(struct flow *flow, uint32_t index)
{
    flow->over++;
    if (flow->is_counting) {
        uint64_t begun_ns = flow->flights[index].begun_ns;
        uint64_t took_ns = load_now_ns() - begun_ns;
        histogram_add(&flow->latency, took_ns);
        flow->ended++;
        if (flow->trace != NULL && flow->trace_count < SAMPLES_MAX)
            flow->trace[flow->trace_count++] = (struct sample){begun_ns, took_ns};
    }
    if (flow->plan->rate > 0)
        flow->idle[flow->idle_count++] = index;
    else if (!flow->is_stopping)
        flight_begin(flow, index, load_now_ns());
}

static void on_admitted(struct flow *flow, uint32_t caller)
{
    struct flight *flight = &flow->flights[caller / flow->plan->per_flight];
    flight->admitted++;
    if (flight->admitted < flow->plan->per_flight)
        return;
    flight->finished_ns = flow->plan->per_flight > 1 ? load_now_ns() : 0;
    load_finish(flow->link, flight->leader);
}

static void on_lead(void *context, uint32_t caller)
{
    struct flow *flow = context;
    flow->flights[caller / flow->plan->per_flight].leader = caller;
    if (flow->is_counting)
        flow->led++;
    on_admitted(flow, caller);
}

static void on_follow(void *context, uint32_t caller)
{
    on_admitted(context, caller);
}

static void on_result(void *context, uint32_t caller, uint64_t bytes)
{
    struct flow *flow = context;
    uint32_t index = caller / flow->plan->per_flight;
    struct flight *flight = &flow->flights[index];
    if (caller != flight->leader) {
        if (bytes < flow->plan->link.value_bytes)
            load_die("a follower did not get the whole value");
        if (flow->is_counting)
            histogram_add(&flow->lag, load_now_ns() - flight->finished_ns);
    }
    flight->ended++;
    if (flight->ended == flow->plan->per_flight)
        flight_end(flow, index);
}

// Begins the flights that are due. Those that come late, because all callers are under way or we
// were not woken in time, count from when they were due: a server that stops is not asked less.
static void keep_rate(struct flow *flow)
{
    double rate = flow->plan->rate;
    uint64_t due = (uint64_t)((double)(load_now_ns() - flow->start_ns) * rate / 1e9);
    for (; flow->begun < due && flow->idle_count > 0; flow->idle_count--) {
        uint64_t due_ns = flow->start_ns + (uint64_t)((double)(flow->begun + 1) * 1e9 / rate);
        flight_begin(flow, flow->idle[flow->idle_count - 1], due_ns);
    }
}

// The time is up, and enough is counted: on a busy machine that may take longer.
static bool is_over(const struct flow *flow, uint64_t now_ns, uint64_t end_ns)
{
    return now_ns >= end_ns && !(flow->is_counting && flow->ended < HISTOGRAM_VALUES_MIN);
}

static void run_for(struct flow *flow, double seconds)
{
    uint64_t end_ns = load_now_ns() + (uint64_t)(seconds * 1e9);
    uint64_t alive_ns = load_now_ns();
    uint64_t over = flow->over;
    for (uint64_t now_ns = alive_ns; !is_over(flow, now_ns, end_ns); now_ns = load_now_ns()) {
        if (flow->plan->rate > 0)
            keep_rate(flow);
        load_link_poll(flow->link, now_ns < end_ns ? end_ns : now_ns + 1000000);
        if (flow->over != over)
            alive_ns = now_ns;
        else if (now_ns - alive_ns > 30000000000U)
            load_die("nothing has happened for 30 s");
        over = flow->over;
        if (flow->plan->count > 0 && flow->ended >= flow->plan->count)
            return;
    }
}

static void report_trace(const struct flow *flow)
{
    if (flow->trace == NULL)
        return;
    printf(", \"trace_us\": [");
    for (uint32_t i = 0; i < flow->trace_count; i++)
        printf("%s[%.1f, %.1f]", i == 0 ? "" : ", ", (double)flow->trace[i].begun_ns / 1e3,
               (double)flow->trace[i].took_ns / 1e3);
    printf("]");
}

// What the processes had used up when the counting began, then since then.
struct usage {
    uint64_t server_us;
    uint64_t server_switches;
    uint64_t own_us;
};

static struct usage usage_now(const struct flow *flow)
{
    int pid = flow->plan->server_pid;
    return (struct usage){process_cpu_us(pid), process_switches(pid), process_own_cpu_us()};
}

static void report(const struct flow *flow, double seconds, const struct usage *before)
{
    struct usage now = usage_now(flow);
    double flights = (double)flow->ended;
    if (flow->ended == 0)
        load_die("no flight ended within %.1f s", seconds);
    printf("{\"flights\": %.0f, \"flights_per_second\": %.1f, \"callers_per_second\": %.1f, "
           "\"leads_per_flight\": %.4f, \"server_cpu_us_per_flight\": %.4f, "
           "\"server_switches_per_flight\": %.4f, \"client_cpu_us_per_flight\": %.4f",
           flights, flights / seconds, flights * flow->plan->per_flight / seconds,
           (double)flow->led / flights, (double)(now.server_us - before->server_us) / flights,
           (double)(now.server_switches - before->server_switches) / flights,
           (double)(now.own_us - before->own_us) / flights);
    histogram_print(&flow->latency, "p");
    histogram_print(&flow->lag, "lag_p");
    report_trace(flow);
    puts("}");
}

static void begin_all(struct flow *flow)
{
    flow->start_ns = load_now_ns();
    for (uint32_t i = 0; i < flow->plan->flights; i++) {
        if (flow->plan->rate > 0)
            flow->idle[flow->idle_count++] = i;
        else
            flight_begin(flow, i, flow->start_ns);
    }
    if (flow->plan->rate > 0) {
        uint64_t period_ns = (uint64_t)(1e9 / flow->plan->rate);
        load_ticker_start(flow->link, flow->start_ns,
                          period_ns < TICK_NS_MIN ? TICK_NS_MIN : period_ns);
    }
}

void load_flow(const struct load_plan *plan)
{
    static struct flow flow;
    struct load_options options = plan->link;
    flow.plan = plan;
    options.callers = plan->flights * plan->per_flight;
    options.events = (struct load_events){on_lead, on_follow, on_result, &flow};
    flow.flights = load_calloc(plan->flights, sizeof *flow.flights);
    flow.idle = load_calloc(plan->flights, sizeof *flow.idle);
    if (plan->trace)
        flow.trace = load_calloc(SAMPLES_MAX, sizeof *flow.trace);
    // Two runs against one server do not use the same keys.
    flow.next_key = (uint32_t)load_now_ns();
    flow.link = load_link_open(&options);
    begin_all(&flow);
    run_for(&flow, plan->warmup);
    flow.is_counting = true;
    if (plan->rate > 0) {
        // Who disturbs the server meanwhile waits for this line.
        puts("{\"started\": true}");
        fflush(stdout);
    }
    struct usage before = usage_now(&flow);
    uint64_t start_ns = load_now_ns();
    run_for(&flow, plan->seconds);
    double seconds = (double)(load_now_ns() - start_ns) / 1e9;
    report(&flow, seconds, &before);
}
