// SPDX-License-Identifier: Apache-2.0
// usage: bench_core flights|retained [--keys N] [--order random|fifo] [--ahead N] [--seconds S]
//                   [--runs R]
//        bench_core engine [--threads N] [--shards N] [--keys N] [--seconds S | --flights N]
//                   [--runs R]
//
// The core alone: one table, one thread, virtual time, no gRPC, no locks. Or the engine around it,
// with its shards and locks, under several threads that have N keys open each (engine.c).
//
//   flights   N flights are open. Over and over, one is finished and another begun with a new key:
//             three events (finish, join, home_found). `random`: any of them is next, so that with
//             many flights every one is cold; `fifo`: the oldest is.
//   retained  N outcomes are retained. Over and over, somebody joins one of their keys at random
//             and gets it: one event.
//
// `--ahead N`: the events come N turns at a time, as a Session's message brings them, and the table
// is asked to fetch what they will touch before they are stepped; so does the daemon with a
// Session's steps (sfl_engine_announce). Without it (0), each event comes as a surprise, like those
// of a Do.
//
// Time is that of the processor, so that a busy machine counts for less.
// Prints one JSON object: {"events_per_second": [one for each run], "bytes_per_key": …}.
#include "base/prefetch.h"
#include "core/flight_table.h"
#include "engine.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KEY_BYTES = 16, CHECK_EVERY = 1024, EVENTS_PER_MS = 4096, AHEAD_MAX = 64 };

struct plan {
    bool retained;
    bool engine;
    bool fifo;
    unsigned threads; // of the engine
    unsigned shards;  // of the engine; 0: as many as the daemon would have
    uint64_t flights; // of each thread and run; 0: for so many seconds
    uint64_t keys;
    uint64_t ahead;
    double seconds;
    unsigned runs;
};

struct bench {
    struct plan plan;
    struct sfl_table table;
    struct sfl_limits limits;
    struct sfl_usage usage;
    struct sfl_effects effects;
    struct sfl_caller *callers;
    struct sfl_caller visitor; // of retained outcomes
    uint64_t next_key;
    uint64_t token;
    uint64_t events;
    uint64_t results;
    uint64_t now_ms;
    uint64_t random;
};

static uint8_t value_bytes[100];

static _Noreturn void die(const char *text)
{
    fprintf(stderr, "bench_core: %s\n", text);
    exit(1);
}

static uint64_t mixed(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static uint64_t next_random(struct bench *bench)
{
    bench->random += UINT64_C(0x9e3779b97f4a7c15);
    return mixed(bench->random);
}

static void step(struct bench *bench, struct sfl_event *event);

static void carry_out(struct bench *bench)
{
    struct sfl_flight *asking = NULL;
    for (unsigned i = 0; i < bench->effects.count; i++) {
        struct sfl_effect *effect = &bench->effects.items[i];
        if (effect->type == SFL_EFFECT_RESULT) {
            bench->results++;
            sfl_outcome_unref(effect->result.outcome);
        } else if (effect->type == SFL_EFFECT_FIND_HOME) {
            asking = effect->flight;
        } else if (effect->type == SFL_EFFECT_REFUSE) {
            die("a caller was refused");
        }
    }
    if (asking != NULL)
        step(bench, &(struct sfl_event){
                        .type = SFL_EVENT_HOME_FOUND,
                        .home = {.flight = asking, .found = true, .token = ++bench->token}});
}

static void step(struct bench *bench, struct sfl_event *event)
{
    event->now_ms = bench->now_ms;
    sfl_table_step(&bench->table, event, &bench->effects);
    bench->events++;
    carry_out(bench);
}

// Virtual time goes on with the number of events.
static void pass_time(struct bench *bench)
{
    bench->now_ms = bench->events / EVENTS_PER_MS;
    if (sfl_table_next_deadline_ms(&bench->table) <= bench->now_ms)
        step(bench, &(struct sfl_event){.type = SFL_EVENT_TICK});
}

static void join(struct bench *bench, struct sfl_caller *caller, uint64_t number)
{
    uint8_t key[KEY_BYTES] = "article:";
    memcpy(key + 8, &number, sizeof number);
    struct sfl_join join = {
        .group = sfl_span_of("default", 7),
        .key = sfl_span_of(key, sizeof key),
        .deadline_ms = UINT64_MAX,
        .retain_ms = bench->plan.retained ? bench->limits.retain_ms_max : 0,
    };
    sfl_caller_init(caller);
    step(bench,
         &(struct sfl_event){
             .type = SFL_EVENT_JOIN, .hash = mixed(number), .caller = caller, .join = &join});
}

static void finish(struct bench *bench, struct sfl_caller *caller)
{
    step(bench,
         &(struct sfl_event){.type = SFL_EVENT_FINISH,
                             .caller = caller,
                             .finish = {.kind = SFL_OUTCOME_OK,
                                        .value = sfl_span_of(value_bytes, sizeof value_bytes)}});
}

static void fill(struct bench *bench)
{
    for (uint64_t i = 0; i < bench->plan.keys; i++) {
        if (i % CHECK_EVERY == 0)
            pass_time(bench);
        struct sfl_caller *caller = bench->plan.retained ? &bench->visitor : &bench->callers[i];
        join(bench, caller, bench->next_key++);
        if (bench->plan.retained)
            finish(bench, caller);
    }
}

static uint64_t choose(struct bench *bench, uint64_t turn)
{
    return (bench->plan.fifo ? turn : next_random(bench)) % bench->plan.keys;
}

// What turn number `i` of a message, which concerns `which`, will touch.
static void look_ahead(struct bench *bench, uint64_t which, uint64_t i, enum sfl_ahead ahead)
{
    if (bench->plan.retained) {
        sfl_table_prefetch_key(&bench->table, mixed(which), ahead);
        return;
    }
    sfl_table_prefetch_caller(&bench->table, &bench->callers[which], ahead);
    sfl_table_prefetch_key(&bench->table, mixed(bench->next_key + i), ahead);
}

static void take_turn(struct bench *bench, uint64_t which)
{
    if (bench->plan.retained) {
        join(bench, &bench->visitor, which);
        return;
    }
    finish(bench, &bench->callers[which]);
    join(bench, &bench->callers[which], bench->next_key++);
}

// The driver's own part: a transport has its callers at hand.
static void prefetch_caller(const struct sfl_caller *caller)
{
    sfl_prefetch(caller);
    sfl_prefetch((const uint8_t *)(caller + 1) - 1); // it stands in two cache lines
}

// The turns that one message brings.
static void take_turns(struct bench *bench, uint64_t turn, uint64_t count)
{
    uint64_t which[AHEAD_MAX];
    for (uint64_t i = 0; i < count; i++) {
        which[i] = choose(bench, turn + i);
        if (!bench->plan.retained)
            prefetch_caller(&bench->callers[which[i]]);
    }
    for (uint64_t i = 0; i < count; i++)
        look_ahead(bench, which[i], i, SFL_AHEAD_FAR);
    for (uint64_t i = 0; i < count; i++)
        look_ahead(bench, which[i], i, SFL_AHEAD_NEAR);
    for (uint64_t i = 0; i < count; i++)
        look_ahead(bench, which[i], i, SFL_AHEAD_NEXT);
    for (uint64_t i = 0; i < count; i++)
        take_turn(bench, which[i]);
}

// CHECK_EVERY turns, or a few more.
static uint64_t take_many_turns(struct bench *bench, uint64_t turn)
{
    uint64_t ahead = bench->plan.ahead;
    uint64_t end = turn + CHECK_EVERY;
    while (turn < end) {
        if (ahead == 0)
            take_turn(bench, choose(bench, turn));
        else
            take_turns(bench, turn, ahead);
        turn += ahead == 0 ? 1 : ahead;
    }
    return turn;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double run(struct bench *bench, double seconds)
{
    static uint64_t turn;
    uint64_t events = bench->events;
    uint64_t results = bench->results;
    uint64_t turns = turn;
    double start = now_s();
    double end = start;
    while (end - start < seconds) {
        turn = take_many_turns(bench, turn);
        pass_time(bench);
        end = now_s();
    }
    if (bench->results - results != turn - turns)
        die("a result is missing");
    return (double)(bench->events - events) / (end - start);
}

static uint64_t rss_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void open_table(struct bench *bench)
{
    bench->limits = sfl_limits_default;
    bench->limits.flights_max = UINT64_MAX / 2;
    bench->limits.callers_max = UINT64_MAX / 2;
    bench->limits.held_bytes_max = UINT64_MAX / 2;
    bench->limits.retained_bytes_max = UINT64_MAX / 2;
    sfl_usage_init(&bench->usage);
    sfl_table_init(&bench->table, &(struct sfl_table_options){.allocator = &sfl_heap,
                                                              .limits = &bench->limits,
                                                              .usage = &bench->usage,
                                                              .hash_seed = 1});
    if (bench->plan.retained)
        return;
    bench->callers = sfl_alloc(&sfl_heap, bench->plan.keys * sizeof *bench->callers);
    if (bench->callers == NULL)
        die("out of memory");
}

static struct plan read_plan(int argc, char **argv)
{
    static const struct option names[] = {{"keys", required_argument, NULL, 'k'},
                                          {"order", required_argument, NULL, 'o'},
                                          {"ahead", required_argument, NULL, 'a'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"flights", required_argument, NULL, 'f'},
                                          {"shards", required_argument, NULL, 'S'},
                                          {NULL, 0, NULL, 0}};
    struct plan plan = {.keys = 1000, .seconds = 1, .runs = 1, .threads = 1};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'k')
            plan.keys = strtoull(optarg, NULL, 10);
        else if (option == 'o')
            plan.fifo = strcmp(optarg, "fifo") == 0;
        else if (option == 'a')
            plan.ahead = strtoull(optarg, NULL, 10);
        else if (option == 's')
            plan.seconds = strtod(optarg, NULL);
        else if (option == 'r')
            plan.runs = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 't')
            plan.threads = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'S')
            plan.shards = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'f')
            plan.flights = strtoull(optarg, NULL, 10);
        else
            exit(64);
    }
    if (optind + 1 != argc || plan.keys == 0 || plan.ahead > AHEAD_MAX || plan.threads == 0)
        die("usage: bench_core flights|retained|engine [OPTION...]");
    plan.engine = strcmp(argv[optind], "engine") == 0;
    plan.retained = strcmp(argv[optind], "retained") == 0;
    return plan;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    bench.plan = read_plan(argc, argv);
    if (bench.plan.engine) {
        bench_engine(&(struct engine_plan){bench.plan.threads, bench.plan.shards, bench.plan.runs,
                                           bench.plan.keys, bench.plan.flights,
                                           bench.plan.seconds});
        return 0;
    }
    open_table(&bench);
    uint64_t before = rss_bytes();
    fill(&bench);
    uint64_t after = rss_bytes();
    run(&bench, bench.plan.seconds / 4); // warms up
    printf("{\"events_per_second\": [");
    for (unsigned i = 0; i < bench.plan.runs; i++)
        printf("%s%.0f", i == 0 ? "" : ", ", run(&bench, bench.plan.seconds));
    printf("], \"bytes_per_key\": %.1f}\n", (double)(after - before) / (double)bench.plan.keys);
    fflush(stdout);
    _Exit(0); // the table's end is not what is measured
}
