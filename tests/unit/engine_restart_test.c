// SPDX-License-Identifier: Apache-2.0
// Engines that follow one another over one keeper, which is a log: what was awaited is in it after
// a crash, what was not may be lost, the last first. Whoever was told to lead, under a lease, and
// neither finished nor lost the lead, has it again after any number of crashes; whoever has
// finished, or was replaced, never has; and what was forgotten stays so.
//
// The same seed is the same run: engine_restart_test SEED.
#include "base/clock.h"
#include "engine/engine.h"
#include "support/choice.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 4,
    SEATS = 400,
    LOG_MAX = 4000,
    WAITING_MAX = 400,
    STEPS = 300,
    SEEDS = 3000,
    LEASE_MS = 600000,
};

static uint64_t seed;
static unsigned step;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "engine_restart_test: seed %" PRIu64 ", step %u, line %d: %s\n", seed, \
                    step, __LINE__, #condition);                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

// --- the keeper ---

struct record {
    enum { LEAD, UNLEAD, RETAIN, DROP } type;
    unsigned key;
    uint64_t token;
    uint32_t attempt;
    bool forgotten;
    uint64_t error_token; // 0: none was passed on
};

struct waiting {
    unsigned position; // of the log; it is answered when so much is on disk
    void (*on_kept)(void *argument, bool is_kept);
    void *argument;
};

// --- callers ---

struct seat {
    struct sfl_member member;
    struct world *world;
    unsigned key;
    bool is_resumed;
    bool leads; // it has been told so, and nothing since
    bool has_result;
    bool was_refused;
    uint64_t token;
    uint32_t attempt;
};

// What came of a token, as its leader knows it.
struct known {
    uint64_t token;
    unsigned key;
    uint32_t attempt;
    enum { HELD, FINISHING, FINISHED, LOST } state;
    bool forgotten;     // and somebody was told so
    bool is_superseded; // a newer attempt of its flight has been told to lead
};

struct world {
    struct choice choice;
    struct sfl_limits limits;
    struct sfl_coordinator *coordinator;
    struct sfl_engine *engine;
    bool is_dead;        // the process is: nothing that happens counts
    uint64_t last_token; // that somebody was told
    uint64_t taken;      // the last that was given out; a keeper never gives one twice

    struct record log[LOG_MAX];
    unsigned log_size;
    unsigned synced;
    struct waiting waiting[WAITING_MAX];
    unsigned waiting_count;

    struct seat seats[SEATS];
    unsigned seat_count;
    struct known known[SEATS];
    unsigned known_count;
};

static uint32_t below(struct world *world, uint32_t limit)
{
    return choice_below(&world->choice, limit);
}

static unsigned key_number(struct sfl_span key)
{
    CHECK(key.size == 1 && key.data[0] >= 'a' && key.data[0] < 'a' + KEYS);
    return (unsigned)(key.data[0] - 'a');
}

static struct sfl_span key_span(unsigned key)
{
    static const char names[] = "abcdefgh";
    return sfl_span_of(names + key, 1);
}

static void append(struct world *world, struct record record)
{
    CHECK(world->log_size < LOG_MAX);
    if (!world->is_dead)
        world->log[world->log_size++] = record;
}

static void wait(struct world *world, void (*on_kept)(void *argument, bool is_kept), void *argument)
{
    CHECK(world->waiting_count < WAITING_MAX);
    world->waiting[world->waiting_count++] = (struct waiting){world->log_size, on_kept, argument};
}

static bool keep_lead(void *context, const struct sfl_kept_lead *lead,
                      void (*on_kept)(void *argument, bool is_kept), void *argument)
{
    CHECK(lead->lease_ms == LEASE_MS && lead->leader.size == 0);
    append(context, (struct record){LEAD, key_number(lead->key), lead->token, lead->attempt,
                                    lead->forgotten, lead->error == NULL ? 0 : lead->error->token});
    if (on_kept != NULL)
        wait(context, on_kept, argument);
    return true;
}

static void unlead(void *context, uint64_t token)
{
    append(context, (struct record){.type = UNLEAD, .token = token});
}

static bool retain(void *context, const struct sfl_kept *kept)
{
    append(context, (struct record){RETAIN, key_number(kept->key), kept->outcome->token,
                                    kept->outcome->attempt, false, 0});
    return true;
}

static void drop(void *context, uint64_t token)
{
    append(context, (struct record){.type = DROP, .token = token});
}

static bool await(void *context, uint64_t token, void (*on_kept)(void *argument, bool is_kept),
                  void *argument)
{
    (void)token;
    wait(context, on_kept, argument);
    return true;
}

static const struct sfl_keeper keeper = {
    .lead = keep_lead, .unlead = unlead, .retain = retain, .drop = drop, .await = await};

// Some of what was queued gets to the disk, and whoever waited for it is told.
static void sync_some(struct world *world)
{
    unsigned more = world->log_size - world->synced;
    world->synced += below(world, 3) == 0 ? below(world, more + 1) : more;
    for (unsigned i = 0; i < world->waiting_count;) {
        struct waiting waiting = world->waiting[i];
        if (waiting.position > world->synced) {
            i++;
            continue;
        }
        world->waiting_count--;
        memmove(&world->waiting[i], &world->waiting[i + 1],
                (world->waiting_count - i) * sizeof(waiting));
        waiting.on_kept(waiting.argument, true);
    }
}

// --- what callers hear ---

static struct known *find_known(struct world *world, uint64_t token)
{
    for (unsigned i = 0; i < world->known_count; i++) {
        if (world->known[i].token == token)
            return &world->known[i];
    }
    return NULL;
}

static struct seat *seat_of(struct sfl_member *member)
{
    return SFL_CONTAINER_OF(member, struct seat, member);
}

// The attempt before this one is over for good. Where the key has several flights that could be
// meant, nothing is said.
static void supersede(struct world *world, const struct known *by)
{
    struct known *before = NULL;
    unsigned count = 0;
    for (unsigned i = 0; i < world->known_count; i++) {
        struct known *known = &world->known[i];
        if (known->key != by->key || known->attempt + 1 != by->attempt || known->is_superseded ||
            known->state == HELD)
            continue;
        before = known;
        count++;
    }
    if (count == 1)
        before->is_superseded = true;
}

static void on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead)
{
    struct world *world = context;
    struct seat *seat = seat_of(member);
    if (world->is_dead)
        return;
    struct known *known = find_known(world, lead->token);
    CHECK((known != NULL) == seat->is_resumed);
    if (known == NULL) {
        CHECK(lead->token > world->last_token);
        world->last_token = lead->token;
        CHECK(world->known_count < SEATS);
        known = &world->known[world->known_count++];
        *known = (struct known){
            .token = lead->token, .key = seat->key, .attempt = lead->attempt, .state = HELD};
        supersede(world, known);
    }
    CHECK(known->state != FINISHED && !known->is_superseded);
    CHECK(known->attempt == lead->attempt && known->key == seat->key);
    known->state = HELD; // an end that was not awaited may be lost, too
    CHECK(lead->lease_ms == LEASE_MS);
    seat->leads = true;
    seat->token = lead->token;
    seat->attempt = lead->attempt;
}

static void on_follow(void *context, struct sfl_member *member, const struct sfl_follow *follow)
{
    const struct world *world = context;
    const struct seat *seat = seat_of(member);
    if (world->is_dead || follow->attempt == 0)
        return;
    (void)seat;
}

static void on_chunk(void *context, struct sfl_member *member, struct sfl_value *value,
                     uint64_t value_bytes)
{
    (void)context;
    (void)member;
    (void)value;
    (void)value_bytes;
}

static void on_restart(void *context, struct sfl_member *member, uint32_t attempt,
                       const struct sfl_bytes *leader)
{
    (void)context;
    (void)member;
    (void)attempt;
    (void)leader;
}

static void on_audience(void *context, struct sfl_member *member,
                        const struct sfl_audience *audience)
{
    (void)context;
    (void)member;
    (void)audience;
}

static void on_renewed(void *context, struct sfl_member *member, uint64_t id)
{
    (void)context;
    (void)member;
    (void)id;
}

static void hear_result(void *argument, bool is_kept)
{
    struct seat *seat = argument;
    (void)is_kept;
    if (seat->world->is_dead)
        return;
    seat->has_result = true;
    seat->leads = false;
    struct known *known = find_known(seat->world, seat->token);
    CHECK(known != NULL);
    known->state = FINISHED;
}

// As the transport does: a leader waits for the disk.
static void on_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    struct world *world = context;
    struct seat *seat = seat_of(member);
    if (result->led && (result->retain_ms > 0 || result->lead_was_kept)) {
        if (seat->token == 0)
            seat->token = result->outcome->token; // it resumed, and was answered at once
        CHECK(sfl_engine_await_kept(world->engine, result->outcome->token, hear_result, seat));
    } else if (result->led) {
        hear_result(seat, true);
    }
    sfl_outcome_unref(result->outcome);
}

static void on_refuse(void *context, struct sfl_member *member, const struct sfl_refusal *refusal)
{
    struct world *world = context;
    struct seat *seat = seat_of(member);
    seat->was_refused = true;
    // A stream that broke, or that another one of the same lead took over from, is no loss.
    bool is_lost = refusal->reason != SFL_REASON_BROKEN &&
                   !(refusal->reason == SFL_REASON_FENCED && refusal->b == 0);
    if (seat->leads && is_lost && !world->is_dead)
        find_known(world, seat->token)->state = LOST;
    seat->leads = false;
}

static void on_settled(void *context, const struct sfl_settled *settled)
{
    (void)context;
    (void)settled;
}

static bool may_tell(void *context, unsigned shard, unsigned batches)
{
    (void)context;
    (void)shard;
    (void)batches;
    return true;
}

static const struct sfl_engine_sink sink = {
    .lead = on_lead,
    .follow = on_follow,
    .chunk = on_chunk,
    .restart = on_restart,
    .audience = on_audience,
    .renewed = on_renewed,
    .result = on_result,
    .refuse = on_refuse,
    .settled = on_settled,
    .may_tell = may_tell,
};

static void on_earlier_tick(void *context)
{
    (void)context;
}

// --- the process ---

static uint64_t take_tokens(void *context, uint64_t count)
{
    struct world *world = context;
    world->taken += count;
    return world->taken - count + 1;
}

static void start(struct world *world)
{
    const struct sfl_standalone_options standalone = {
        .lanes = 1, .take_tokens = take_tokens, .context = world};
    CHECK(sfl_standalone_create(&standalone, &world->coordinator) == SFL_OK);
    const struct sfl_engine_options options = {.shards = 1,
                                               .limits = &world->limits,
                                               .coordinator = world->coordinator,
                                               .sink = &sink,
                                               .sink_context = world,
                                               .keeper = &keeper,
                                               .keeper_context = world,
                                               .on_earlier_tick = on_earlier_tick};
    CHECK(sfl_engine_create(&options, &world->engine) == SFL_OK);
    world->is_dead = false;
}

static void stop(struct world *world)
{
    world->is_dead = true;
    for (unsigned i = 0; i < world->waiting_count; i++)
        world->waiting[i].on_kept(world->waiting[i].argument, false);
    world->waiting_count = 0;
    sfl_engine_shut(world->engine);
    sfl_engine_destroy(world->engine);
    world->coordinator->ops->destroy(world->coordinator);
    for (unsigned i = 0; i < world->seat_count; i++)
        world->seats[i].leads = false;
}

// Replays a record onto what the disk has of its kind.
static unsigned apply(const struct record *record, struct record *disk, unsigned count)
{
    bool is_lead = record->type == LEAD || record->type == UNLEAD;
    unsigned at = 0;
    while (at < count && (disk[at].token != record->token || (disk[at].type == LEAD) != is_lead))
        at++;
    if (record->type == LEAD || record->type == RETAIN) {
        disk[at] = *record;
        return at == count ? count + 1 : count;
    }
    if (at == count)
        return count;
    memmove(&disk[at], &disk[at + 1], (count - at - 1) * sizeof(disk[0]));
    return count - 1;
}

static int by_token(const void *a, const void *b)
{
    const struct record *first = a;
    const struct record *second = b;
    return first->token < second->token ? 1 : -1;
}

static bool restore(struct world *world, const struct record *record)
{
    const struct sfl_outcome_parts parts = {.kind = SFL_OUTCOME_ERROR,
                                            .attempt = record->type == LEAD ? 1 : record->attempt,
                                            .token = record->type == LEAD ? record->error_token
                                                                          : record->token};
    if (record->type == RETAIN) {
        const struct sfl_join join = {.group = sfl_span_of_text("g"), .key = key_span(record->key)};
        return sfl_engine_restore(world->engine, &join, &parts, 1, 0, 600000);
    }
    const struct sfl_kept_lead lead = {.group = sfl_span_of_text("g"),
                                       .key = key_span(record->key),
                                       .token = record->token,
                                       .attempt = record->attempt,
                                       .forgotten = record->forgotten,
                                       .lease_ms = LEASE_MS,
                                       .run_limit_ms = 3600000,
                                       .led_unix_ms = sfl_clock_wall_us() / 1000};
    return sfl_engine_restore_lead(world->engine, &lead, record->error_token > 0 ? &parts : NULL,
                                   0);
}

static void load(struct world *world, unsigned surviving)
{
    static struct record disk[LOG_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < surviving; i++)
        count = apply(&world->log[i], disk, count);
    qsort(disk, count, sizeof(disk[0]), by_token);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < count; i++) {
            bool is_lead = disk[i].type == LEAD;
            if (is_lead != (pass == 1) || restore(world, &disk[i]))
                continue;
            append(world, (struct record){.type = is_lead ? UNLEAD : DROP, .token = disk[i].token});
        }
    }
}

static struct seat *sit(struct world *world, const struct sfl_join *join)
{
    CHECK(world->seat_count < SEATS);
    struct seat *seat = &world->seats[world->seat_count++];
    *seat = (struct seat){
        .world = world, .key = key_number(join->key), .is_resumed = join->resume_token > 0};
    sfl_caller_init(&seat->member.caller);
    sfl_engine_join(world->engine, &seat->member, join, sfl_clock_now_ms());
    return seat;
}

static struct sfl_join join_of(unsigned key)
{
    return (struct sfl_join){.group = sfl_span_of_text("g"),
                             .key = key_span(key),
                             .deadline_ms = UINT64_MAX,
                             .lease_ms = LEASE_MS};
}

static struct seat *resume(struct world *world, const struct known *known)
{
    struct sfl_join join = join_of(known->key);
    join.resume_token = known->token;
    return sit(world, &join);
}

// A crash: what was not awaited may be lost. Then everybody comes back.
static void crash(struct world *world)
{
    unsigned surviving = world->synced + below(world, world->log_size - world->synced + 1);
    stop(world);
    world->log_size = surviving;
    start(world);
    load(world, surviving);
    world->synced = world->log_size;
    for (unsigned i = 0; i < world->known_count; i++) {
        const struct known known = world->known[i];
        if (world->seat_count + 1 >= SEATS)
            return;
        if (known.state == HELD) {
            CHECK(resume(world, &known)->leads);
        } else if (below(world, 3) == 0) {
            (void)resume(world, &known); // on_lead says what may not be
        }
    }
}

// --- what happens ---

static struct seat *some_leader(struct world *world)
{
    for (unsigned i = 0; i < 20 && world->seat_count > 0; i++) {
        struct seat *seat = &world->seats[below(world, world->seat_count)];
        if (seat->leads && sfl_caller_is_joined(&seat->member.caller))
            return seat;
    }
    return NULL;
}

static void finish(struct world *world, struct seat *seat)
{
    struct sfl_finish finish = {.kind = SFL_OUTCOME_ERROR, .value = sfl_span_of_text("v")};
    find_known(world, seat->token)->state = FINISHING;
    finish.pass_on = below(world, 2) == 0;
    finish.has_retention = true;
    finish.retention_ms = below(world, 3) == 0 ? 600000 : 0;
    sfl_engine_finish(world->engine, &seat->member, &finish, sfl_clock_now_ms());
}

struct asked {
    struct world *world;
    unsigned key;
    uint64_t newest; // the greatest token when it was asked
};

static void on_forgotten(void *argument, bool is_kept)
{
    struct asked *asked = argument;
    for (unsigned i = 0; is_kept && !asked->world->is_dead && i < asked->world->known_count; i++) {
        struct known *known = &asked->world->known[i];
        if (known->key == asked->key && known->token <= asked->newest)
            known->forgotten = true;
    }
    free(asked);
}

static void forget(struct world *world)
{
    unsigned key = below(world, KEYS);
    const struct sfl_forget wish = {.group = sfl_span_of_text("g"), .key = key_span(key)};
    struct asked *asked = malloc(sizeof(*asked));
    *asked = (struct asked){world, key, world->last_token};
    (void)sfl_engine_forget(world->engine, &wish);
    CHECK(sfl_engine_await_kept(world->engine, 0, on_forgotten, asked));
}

struct listing {
    struct world *world;
    unsigned running[KEYS];
};

static bool look(void *context, const struct sfl_flight_view *view)
{
    struct listing *listing = context;
    const struct known *known = find_known(listing->world, view->token);
    bool runs = view->state == SFL_FLIGHT_LED || view->state == SFL_FLIGHT_ORPHANED;
    if (runs && !view->forgotten)
        CHECK(++listing->running[key_number(view->key)] == 1);
    // Nobody who comes new joins what somebody was told to be forgotten.
    if (known != NULL && known->forgotten && runs)
        CHECK(view->forgotten);
    return true;
}

static void look_at_all(struct world *world)
{
    struct listing listing = {.world = world};
    struct sfl_engine_cursor cursor = {0};
    while (sfl_engine_visit(world->engine, &cursor, look, &listing))
        ;
}

static void act(struct world *world)
{
    uint32_t dice = below(world, 100);
    struct seat *leader = some_leader(world);
    const struct sfl_join join = join_of(below(world, KEYS));
    if (dice < 35)
        (void)sit(world, &join);
    else if (dice < 50 && leader != NULL)
        finish(world, leader);
    else if (dice < 55 && leader != NULL)
        sfl_engine_leave(world->engine, &leader->member, SFL_REASON_BROKEN, true,
                         sfl_clock_now_ms());
    else if (dice < 60 && leader != NULL)
        sfl_engine_leave(world->engine, &leader->member, SFL_REASON_MALFORMED, false,
                         sfl_clock_now_ms());
    else if (dice < 66)
        forget(world);
    else if (dice < 95)
        sync_some(world);
    else if (dice < 98)
        crash(world);
    look_at_all(world);
}

static void play(void)
{
    static struct world world;
    world = (struct world){.choice = choice_of_seed(seed),
                           .limits = sfl_limits_default,
                           .last_token = 100,
                           .taken = 100};
    start(&world);
    for (step = 0; step < STEPS && world.seat_count + SEATS / 4 < SEATS; step++)
        act(&world);
    // At the end nothing hangs: what is held can be resumed and finished.
    crash(&world);
    stop(&world);
}

int main(int argc, char **argv)
{
    uint64_t only = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    for (seed = only > 0 ? only : 1; seed <= (only > 0 ? only : SEEDS); seed++)
        play();
    printf("engine_restart_test: ok\n");
    return 0;
}
