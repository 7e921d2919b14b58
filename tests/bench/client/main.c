// SPDX-License-Identifier: Apache-2.0
// usage: bench_client --target ADDRESS [--flights N] [--per-flight N] [--merge] [--bytes N]
//                     [--blocking] [--wait] [--seconds S] [--warmup S] [--pid PID]
//
// The flow of bench_load, but through libsingleflight, as a program would use it: flights one after
// the other, each with so many calls of a key that nobody used before. One client, so one Session
// stream and one thread. Calls of one key go to the network each for itself, unless --merge is
// given; the leader finishes at once. With --blocking, each flight is a thread that calls
// singleflight_do(), and so has one call only. With --wait nobody finishes: once all calls lead or
// follow, it tells what client and server have grown by.
#include "bench/frames.h"
#include "bench/load/histogram.h"
#include "bench/load/process.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <singleflight.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct plan {
    const char *target;
    int server_pid;
    unsigned flights;
    unsigned per_flight;
    bool merge;
    bool blocking;
    bool wait;
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
    sem_t has_ended; // posted when enough are counted
    atomic_uint_fast64_t led;
    atomic_uint_fast64_t waiting; // calls that lead or follow, with --wait
    pthread_mutex_t lock;         // of `latency`, when threads call
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

// Options for a key that nobody used before, to be written to `key`.
static struct singleflight_do_options options_of_next(struct bench *bench,
                                                      uint8_t key[BENCH_KEY_BYTES])
{
    struct singleflight_do_options options = bench->options;
    bench_key_write(key, (uint32_t)atomic_fetch_add(&bench->next_key, 1));
    options.key = key;
    options.key_bytes = BENCH_KEY_BYTES;
    return options;
}

static void flight_begin(struct flight *flight)
{
    struct bench *bench = flight->bench;
    uint8_t key[BENCH_KEY_BYTES];
    struct singleflight_do_options options = options_of_next(bench, key);
    flight->begun_ns = now_ns();
    flight->ended = 0;
    for (unsigned i = 0; i < bench->plan.per_flight; i++) {
        if (singleflight_do_async(bench->client, &options, &bench->events, flight, NULL) !=
            SINGLEFLIGHT_OK)
            die("singleflight_do_async", singleflight_last_error());
    }
}

static void write_value(struct bench *bench, struct singleflight_leader *leader)
{
    if (singleflight_leader_write(leader, bench->value, bench->plan.value_bytes) != SINGLEFLIGHT_OK)
        die("singleflight_leader_write", singleflight_last_error());
}

static void on_lead(void *context, struct singleflight_leader *leader)
{
    struct flight *flight = context;
    if (flight->bench->plan.wait) {
        atomic_fetch_add(&flight->bench->waiting, 1);
        return;
    }
    write_value(flight->bench, leader);
    singleflight_leader_finish(leader, SINGLEFLIGHT_OUTCOME_OK);
}

// Looks at one result, and frees it.
static void take_result(struct bench *bench, struct singleflight_result *result)
{
    if (result->status != SINGLEFLIGHT_OK)
        die(singleflight_status_name(result->status), result->message);
    if (result->value_bytes != bench->plan.value_bytes)
        die("a call", "it did not get the whole value");
    if (result->led && atomic_load_explicit(&bench->is_counting, memory_order_relaxed))
        atomic_fetch_add_explicit(&bench->led, 1, memory_order_relaxed);
    singleflight_result_free(result);
}

static void count_flight(struct bench *bench, uint64_t begun_ns)
{
    if (!atomic_load_explicit(&bench->is_counting, memory_order_relaxed))
        return;
    histogram_add(&bench->latency, now_ns() - begun_ns);
    if (atomic_fetch_add_explicit(&bench->ended, 1, memory_order_relaxed) + 1 ==
        HISTOGRAM_VALUES_MIN)
        sem_post(&bench->has_ended);
}

static void on_done(void *context, struct singleflight_result *result)
{
    struct flight *flight = context;
    take_result(flight->bench, result);
    if (++flight->ended < flight->bench->plan.per_flight)
        return;
    count_flight(flight->bench, flight->begun_ns);
    flight_begin(flight);
}

static void on_follow(void *context, uint32_t attempt, const char *leader, uint64_t running_ms)
{
    const struct flight *flight = context;
    (void)attempt;
    (void)leader;
    (void)running_ms;
    if (flight->bench->plan.wait)
        atomic_fetch_add(&flight->bench->waiting, 1);
}

static enum singleflight_outcome function(struct singleflight_leader *leader, void *context)
{
    write_value(context, leader);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void call_once(struct bench *bench)
{
    uint8_t key[BENCH_KEY_BYTES];
    struct singleflight_do_options options = options_of_next(bench, key);
    struct singleflight_result *result = NULL;
    uint64_t begun_ns = now_ns();
    (void)singleflight_do(bench->client, &options, function, bench, &result);
    take_result(bench, result);
    pthread_mutex_lock(&bench->lock);
    count_flight(bench, begun_ns);
    pthread_mutex_unlock(&bench->lock);
}

static void *call_for_ever(void *context)
{
    for (;;)
        call_once(context);
    return NULL;
}

// Each goes on by itself from here.
static void begin_all(struct bench *bench)
{
    struct flight *flights = calloc(bench->plan.flights, sizeof *flights);
    if (flights == NULL)
        die("calloc", "out of memory");
    for (unsigned i = 0; i < bench->plan.flights; i++) {
        pthread_t thread;
        flights[i].bench = bench;
        if (!bench->plan.blocking)
            flight_begin(&flights[i]);
        else if (pthread_create(&thread, NULL, call_for_ever, bench) != 0)
            die("pthread_create", "no more threads");
    }
}

#define PATIENCE_S 30

static void wait_for(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    // The length of the measurement itself.
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void wait_for_enough(struct bench *bench)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    while (sem_timedwait(&bench->has_ended, &until) != 0) {
        if (errno != EINTR)
            die("flow", "hardly a flight ended");
    }
}

static void run(struct bench *bench)
{
    const struct plan *plan = &bench->plan;
    begin_all(bench);
    wait_for(plan->warmup);
    uint64_t server_us = process_cpu_us(plan->server_pid);
    uint64_t own_us = process_own_cpu_us();
    uint64_t start_ns = now_ns();
    atomic_store(&bench->is_counting, true);
    wait_for(plan->seconds);
    // On a busy machine that may take longer.
    wait_for_enough(bench);
    atomic_store(&bench->is_counting, false);
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    server_us = process_cpu_us(plan->server_pid) - server_us;
    own_us = process_own_cpu_us() - own_us;
    double ended = (double)atomic_load(&bench->ended);
    printf("{\"flights_per_second\": %.1f, \"callers_per_second\": %.1f, "
           "\"leads_per_flight\": %.4f, \"server_cpu_us_per_flight\": %.4f, "
           "\"client_cpu_us_per_flight\": %.4f",
           ended / seconds, ended * plan->per_flight / seconds,
           (double)atomic_load(&bench->led) / ended, (double)server_us / ended,
           (double)own_us / ended);
    histogram_print(&bench->latency, "p");
    puts("}");
    fflush(stdout);
    _Exit(0); // calls are under way
}

// So many calls, plan.per_flight of a key, that all wait in the end.
static void wait_until(struct bench *bench, struct flight *flights, unsigned from, unsigned to)
{
    uint64_t end_ns = now_ns() + PATIENCE_S * 1000000000ULL;
    for (unsigned i = from; i < to; i++) {
        flights[i].bench = bench;
        flight_begin(&flights[i]);
    }
    while (atomic_load(&bench->waiting) < (uint64_t)to * bench->plan.per_flight) {
        if (now_ns() > end_ns)
            die("wait", "not all calls lead or follow");
        wait_for(0.001); // nothing is measured here but memory
    }
}

static void run_waiters(struct bench *bench)
{
    const struct plan *plan = &bench->plan;
    struct flight *flights = calloc(plan->flights, sizeof *flights);
    if (flights == NULL || plan->flights < 2)
        die("--wait", "needs two flights or more");
    // The first flight pays for connections and threads.
    wait_until(bench, flights, 0, 1);
    uint64_t server = process_rss_bytes(plan->server_pid);
    uint64_t own = process_rss_bytes((int)getpid());
    wait_until(bench, flights, 1, plan->flights);
    double callers = (double)(plan->flights - 1) * plan->per_flight;
    server = process_rss_bytes(plan->server_pid) - server;
    own = process_rss_bytes((int)getpid()) - own;
    printf("{\"callers\": %.0f, \"bytes_per_caller\": %.1f, \"client_bytes_per_caller\": %.1f, "
           "\"end_to_end_bytes\": %.1f}\n",
           callers, (double)server / callers, (double)own / callers,
           (double)(server + own) / callers);
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
        {"blocking", no_argument, NULL, 'B'},
        {"wait", no_argument, NULL, 'W'},
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
        else if (option == 'B')
            plan->blocking = true;
        else if (option == 'W')
            plan->wait = true;
        else
            _Exit(64);
    }
    if (plan->target == NULL || plan->flights == 0 || plan->per_flight == 0 ||
        (plan->blocking && plan->per_flight > 1))
        die("usage", "bench_client --target ADDRESS [OPTION...]");
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .plan = {.flights = 1, .per_flight = 1, .value_bytes = 100, .seconds = 1, .warmup = 0.2},
        .options = SINGLEFLIGHT_DO_OPTIONS_INIT,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .events = SINGLEFLIGHT_CALL_EVENTS_INIT,
    };
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    read_plan(&bench.plan, argc, argv);
    options.addresses = &bench.plan.target;
    options.address_count = 1;
    bench.options.no_local_merge = !bench.plan.merge;
    bench.events.on_lead = on_lead;
    bench.events.on_follow = on_follow;
    bench.events.on_done = on_done;
    sem_init(&bench.has_ended, 0, 0);
    bench.value = calloc(1, bench.plan.value_bytes + 1);
    atomic_store(&bench.next_key, now_ns());
    if (bench.value == NULL ||
        singleflight_client_create(&options, &bench.client) != SINGLEFLIGHT_OK)
        die("singleflight_client_create", singleflight_last_error());
    if (bench.plan.wait)
        run_waiters(&bench);
    else
        run(&bench);
}
