// SPDX-License-Identifier: Apache-2.0
// usage: bench_client --target ADDRESS [--flights N] [--per-flight N] [--merge] [--bytes N]
//                     [--seconds S] [--warmup S] [--pid PID]
//
// The flow of bench_load, but through libsingleflight, as a program would use it: flights one after
// the other, each with so many calls of a key that nobody used before. One client, so one Session
// stream and one thread. Calls of one key go to the network each for itself, unless --merge is
// given; the leader finishes at once.
#include "bench/load/histogram.h"
#include "bench/load/process.h"

#include <getopt.h>
#include <singleflight.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct plan {
    const char *target;
    int server_pid;
    unsigned flights;
    unsigned per_flight;
    bool merge;
    size_t value_bytes;
    double seconds;
    double warmup;
};

struct bench;

// One of those that are in flight. Belongs to the client's thread once it has begun.
struct flight {
    struct bench *bench;
    uint64_t begun_ns;
    unsigned ended;
};

struct bench {
    struct plan plan;
    struct singleflight_client *client;
    struct singleflight_do_options options;
    struct singleflight_call_events events;
    uint8_t *value;
    atomic_uint_fast64_t next_key;
    atomic_bool is_counting;
    atomic_uint_fast64_t ended;
    atomic_uint_fast64_t led;
    struct histogram latency;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_client: %s: %s\n", what, why);
    _Exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void flight_begin(struct flight *flight)
{
    struct bench *bench = flight->bench;
    char key[32];
    int size =
        snprintf(key, sizeof key, "article:%08x", (unsigned)atomic_fetch_add(&bench->next_key, 1));
    struct singleflight_do_options options = bench->options;
    options.key = key;
    options.key_bytes = (size_t)size;
    flight->begun_ns = now_ns();
    flight->ended = 0;
    for (unsigned i = 0; i < bench->plan.per_flight; i++) {
        if (singleflight_do_async(bench->client, &options, &bench->events, flight, NULL) !=
            SINGLEFLIGHT_OK)
            die("singleflight_do_async", singleflight_last_error());
    }
}

static void on_lead(void *context, struct singleflight_leader *leader)
{
    const struct flight *flight = context;
    struct bench *bench = flight->bench;
    if (singleflight_leader_write(leader, bench->value, bench->plan.value_bytes) != SINGLEFLIGHT_OK)
        die("singleflight_leader_write", singleflight_last_error());
    singleflight_leader_finish(leader, SINGLEFLIGHT_OUTCOME_OK);
}

static void on_done(void *context, struct singleflight_result *result)
{
    struct flight *flight = context;
    struct bench *bench = flight->bench;
    if (result->status != SINGLEFLIGHT_OK)
        die(singleflight_status_name(result->status), result->message);
    if (result->value_bytes != bench->plan.value_bytes)
        die("a call", "it did not get the whole value");
    bool is_counting = atomic_load_explicit(&bench->is_counting, memory_order_relaxed);
    if (is_counting && result->led)
        atomic_fetch_add_explicit(&bench->led, 1, memory_order_relaxed);
    singleflight_result_free(result);
    if (++flight->ended < bench->plan.per_flight)
        return;
    if (is_counting) {
        histogram_add(&bench->latency, now_ns() - flight->begun_ns);
        atomic_fetch_add_explicit(&bench->ended, 1, memory_order_relaxed);
    }
    flight_begin(flight);
}

static void wait_for(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    // The length of the measurement itself.
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void run(struct bench *bench)
{
    const struct plan *plan = &bench->plan;
    struct flight *flights = calloc(plan->flights, sizeof *flights);
    if (flights == NULL)
        die("calloc", "out of memory");
    for (unsigned i = 0; i < plan->flights; i++) {
        flights[i].bench = bench;
        // Each goes on by itself from here.
        flight_begin(&flights[i]);
    }
    wait_for(plan->warmup);
    uint64_t server_us = process_cpu_us(plan->server_pid);
    uint64_t own_us = process_own_cpu_us();
    uint64_t start_ns = now_ns();
    atomic_store(&bench->is_counting, true);
    wait_for(plan->seconds);
    atomic_store(&bench->is_counting, false);
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    server_us = process_cpu_us(plan->server_pid) - server_us;
    own_us = process_own_cpu_us() - own_us;
    double ended = (double)atomic_load(&bench->ended);
    if (ended == 0)
        die("flow", "no flight ended");
    printf("{\"flights_per_second\": %.1f, \"callers_per_second\": %.1f, "
           "\"leads_per_flight\": %.4f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, "
           "\"server_cpu_us_per_flight\": %.4f, \"client_cpu_us_per_flight\": %.4f}\n",
           ended / seconds, ended * plan->per_flight / seconds,
           (double)atomic_load(&bench->led) / ended,
           (double)histogram_at(&bench->latency, 0.5) / 1e3,
           (double)histogram_at(&bench->latency, 0.99) / 1e3,
           (double)histogram_at(&bench->latency, 0.999) / 1e3, (double)server_us / ended,
           (double)own_us / ended);
    fflush(stdout);
    _Exit(0); // calls are under way
}

static void read_plan(struct plan *plan, int argc, char **argv)
{
    static const struct option names[] = {
        {"target", required_argument, NULL, 't'},
        {"flights", required_argument, NULL, 'f'},
        {"bytes", required_argument, NULL, 'b'},
        {"per-flight", required_argument, NULL, 'k'},
        {"seconds", required_argument, NULL, 'd'},
        {"warmup", required_argument, NULL, 'w'},
        {"pid", required_argument, NULL, 'p'},
        {"merge", no_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 't')
            plan->target = optarg;
        else if (option == 'f')
            plan->flights = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'b')
            plan->value_bytes = strtoul(optarg, NULL, 10);
        else if (option == 'k')
            plan->per_flight = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'd')
            plan->seconds = strtod(optarg, NULL);
        else if (option == 'w')
            plan->warmup = strtod(optarg, NULL);
        else if (option == 'p')
            plan->server_pid = (int)strtol(optarg, NULL, 10);
        else if (option == 'm')
            plan->merge = true;
        else
            _Exit(64);
    }
    if (plan->target == NULL || plan->flights == 0 || plan->per_flight == 0)
        die("usage", "bench_client --target ADDRESS [OPTION...]");
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .plan = {.flights = 1, .per_flight = 1, .value_bytes = 100, .seconds = 1, .warmup = 0.2},
        .options = SINGLEFLIGHT_DO_OPTIONS_INIT,
        .events = SINGLEFLIGHT_CALL_EVENTS_INIT,
    };
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    read_plan(&bench.plan, argc, argv);
    options.addresses = &bench.plan.target;
    options.address_count = 1;
    bench.options.no_local_merge = !bench.plan.merge;
    bench.events.on_lead = on_lead;
    bench.events.on_done = on_done;
    bench.value = calloc(1, bench.plan.value_bytes + 1);
    atomic_store(&bench.next_key, now_ns());
    if (bench.value == NULL ||
        singleflight_client_create(&options, &bench.client) != SINGLEFLIGHT_OK)
        die("singleflight_client_create", singleflight_last_error());
    run(&bench);
}
