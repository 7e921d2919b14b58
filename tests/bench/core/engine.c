// SPDX-License-Identifier: Apache-2.0
// The engine under several threads: flights of one caller each, a key of their own each, told to a
// sink that does nothing. No sockets, no gRPC: what is left is what threads have in common.
#include "engine.h"

#include "base/clock.h"
#include "coordinator/coordinator.h"
#include "core/limits.h"
#include "engine/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SHARDS_PER_THREAD = 16, // the daemon's default for each pump
    TURNS_AT_ONCE = 32,     // between two readings of the clock, as a message brings them
    KEY_BYTES = 16,
};

struct bench {
    const struct engine_plan *plan;
    struct sfl_engine *engine;
    pthread_barrier_t start;
};

// Aligned so that threads write to no line of each other's.
struct worker {
    _Alignas(256) struct bench *bench;
    pthread_t thread;
    unsigned number;
    struct sfl_member *members;
    uint64_t next_key;
    uint64_t random;
    uint64_t flights;
    double seconds; // of its own processor time
};

static uint8_t value_bytes[100];

static _Noreturn void die(const char *text)
{
    fprintf(stderr, "bench_core: %s\n", text);
    exit(1);
}

// --- a sink that does nothing ---

static void on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead)
{
    (void)context;
    (void)member;
    (void)lead;
}

static void on_follow(void *context, struct sfl_member *member, const struct sfl_follow *follow)
{
    (void)context;
    (void)member;
    (void)follow;
    die("a key is not its thread's own");
}

static void on_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    (void)context;
    (void)member;
    sfl_outcome_unref(result->outcome);
}

static void on_refuse(void *context, struct sfl_member *member, const struct sfl_refusal *refusal)
{
    (void)context;
    (void)member;
    (void)refusal;
    die("a caller was refused");
}

static void on_earlier_tick(void *context)
{
    (void)context;
}

static const struct sfl_engine_sink sink = {
    .lead = on_lead, .follow = on_follow, .result = on_result, .refuse = on_refuse};

// --- one thread ---

static double own_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void join(struct worker *worker, struct sfl_member *member, uint64_t now_ms)
{
    uint8_t key[KEY_BYTES] = "article:";
    uint64_t number = worker->next_key++;
    memcpy(key + 8, &number, sizeof(number));
    const struct sfl_join wish = {
        .group = sfl_span_of("default", 7),
        .key = sfl_span_of(key, sizeof(key)),
        .deadline_ms = UINT64_MAX,
    };
    sfl_caller_init(&member->caller);
    sfl_engine_join(worker->bench->engine, member, &wish, now_ms);
}

static void finish(struct worker *worker, struct sfl_member *member, uint64_t now_ms)
{
    const struct sfl_finish outcome = {.kind = SFL_OUTCOME_OK,
                                       .value = sfl_span_of(value_bytes, sizeof(value_bytes))};
    sfl_engine_finish(worker->bench->engine, member, &outcome, now_ms);
}

static struct sfl_member *some_member(struct worker *worker)
{
    worker->random = worker->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return &worker->members[(worker->random >> 33) % worker->bench->plan->keys];
}

static bool is_over(const struct worker *worker, uint64_t passed_ms)
{
    const struct engine_plan *plan = worker->bench->plan;
    if (plan->flights > 0)
        return worker->flights >= plan->flights;
    return (double)passed_ms >= plan->seconds * 1000;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct bench *bench = worker->bench;
    uint64_t now_ms = sfl_clock_now_ms();
    for (uint64_t i = 0; i < bench->plan->keys; i++)
        join(worker, &worker->members[i], now_ms);
    pthread_barrier_wait(&bench->start);
    double start = own_seconds();
    uint64_t start_ms = now_ms = sfl_clock_now_ms();
    while (!is_over(worker, now_ms - start_ms)) {
        now_ms = sfl_clock_now_ms();
        for (unsigned i = 0; i < TURNS_AT_ONCE; i++) {
            struct sfl_member *member = some_member(worker);
            finish(worker, member, now_ms);
            join(worker, member, now_ms);
        }
        worker->flights += TURNS_AT_ONCE;
    }
    worker->seconds = own_seconds() - start;
    for (uint64_t i = 0; i < bench->plan->keys; i++)
        finish(worker, &worker->members[i], now_ms);
    return NULL;
}

// --- the whole ---

static void open_engine(struct bench *bench, struct sfl_limits *limits,
                        struct sfl_coordinator **coordinator_out)
{
    unsigned shards = bench->plan->shards;
    unsigned wanted = SHARDS_PER_THREAD * bench->plan->threads;
    for (unsigned next = SHARDS_PER_THREAD; bench->plan->shards == 0 && shards < wanted; next *= 2)
        shards = next;
    *limits = sfl_limits_default;
    const struct sfl_standalone_options standalone = {.lanes = shards};
    if (sfl_standalone_create(&standalone, coordinator_out) != SFL_OK)
        die("out of memory");
    const struct sfl_engine_options options = {
        .shards = shards,
        .limits = limits,
        .coordinator = *coordinator_out,
        .sink = &sink,
        .on_earlier_tick = on_earlier_tick,
    };
    if (sfl_engine_create(&options, &bench->engine) != SFL_OK)
        die("out of memory");
}

static void start_workers(struct bench *bench, struct worker *workers)
{
    for (unsigned i = 0; i < bench->plan->threads; i++) {
        workers[i] = (struct worker){
            .bench = bench,
            .number = i,
            .next_key = (uint64_t)i << 48,
            .random = i + 1,
            .members = calloc(bench->plan->keys, sizeof(struct sfl_member)),
        };
        if (workers[i].members == NULL ||
            pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            die("cannot start a thread");
    }
}

// Flights a second of processor time, of all threads together.
static double run(const struct engine_plan *plan)
{
    struct bench bench = {.plan = plan};
    struct sfl_limits limits;
    struct sfl_coordinator *coordinator;
    open_engine(&bench, &limits, &coordinator);
    struct worker *workers = aligned_alloc(256, plan->threads * sizeof(*workers));
    if (workers == NULL)
        die("out of memory");
    pthread_barrier_init(&bench.start, NULL, plan->threads);
    start_workers(&bench, workers);
    double rate = 0;
    for (unsigned i = 0; i < plan->threads; i++) {
        pthread_join(workers[i].thread, NULL);
        rate += (double)workers[i].flights / workers[i].seconds;
        free(workers[i].members);
    }
    if (!sfl_engine_is_idle(bench.engine))
        die("a flight is left");
    sfl_engine_destroy(bench.engine);
    coordinator->ops->destroy(coordinator);
    pthread_barrier_destroy(&bench.start);
    free(workers);
    return rate;
}

void bench_engine(const struct engine_plan *plan)
{
    printf("{\"threads\": %u, \"flights_per_second\": [", plan->threads);
    for (unsigned i = 0; i < plan->runs; i++)
        printf("%s%.0f", i == 0 ? "" : ", ", run(plan));
    printf("]}\n");
}
