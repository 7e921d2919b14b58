// SPDX-License-Identifier: Apache-2.0
// The engine with one thread: what reaches the sink, ticks, listings, and its end.
#include "base/clock.h"
#include "coordinator/coordinator.h"
#include "engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WAIT_MS = 20000 };

// For the sink, which is called under a lock: cmocka's checks would jump out and leave it locked.
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct seat {
    struct sfl_member member;
    char heard[256]; // one letter for each thing: L F C R A =result !refused
    uint64_t token;
    enum sfl_reason reason;
    uint32_t callers;
    uint64_t retain_ms;
    bool retain_refused;
};

struct fixture {
    struct sfl_coordinator *coordinator;
    struct sfl_engine *engine;
    struct sfl_limits limits;
    atomic_uint earlier;
    uint64_t due_ms;      // what the last tick asked for
    bool wants_one_batch; // of followers at a time
    bool is_busy;         // no crowd is told now
    unsigned shard;       // that the last batch came from
    unsigned retained;
    unsigned dropped;
    bool refuses_to_keep;
    void (*under_lock)(void *context); // what on_lead does; NULL: nothing
    unsigned announced;
};

static void hear(struct sfl_member *member, char letter)
{
    struct seat *seat = SFL_CONTAINER_OF(member, struct seat, member);
    size_t size = strlen(seat->heard);
    CHECK(size + 1 < sizeof(seat->heard));
    seat->heard[size] = letter;
}

static void on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead)
{
    struct fixture *f = context;
    hear(member, 'L');
    SFL_CONTAINER_OF(member, struct seat, member)->token = lead->token;
    if (f->under_lock != NULL)
        f->under_lock(f);
}

static void on_follow(void *context, struct sfl_member *member, const struct sfl_follow *follow)
{
    (void)context;
    (void)follow;
    hear(member, 'F');
}

static void on_chunk(void *context, struct sfl_member *member, struct sfl_value *value,
                     uint64_t value_bytes)
{
    (void)context;
    (void)value;
    CHECK(value_bytes > 0);
    hear(member, 'C');
}

static void on_restart(void *context, struct sfl_member *member, uint32_t attempt,
                       const struct sfl_bytes *leader)
{
    (void)context;
    (void)leader;
    CHECK(attempt > 0);
    hear(member, 'R');
}

static void on_audience(void *context, struct sfl_member *member,
                        const struct sfl_audience *audience)
{
    (void)context;
    (void)audience;
    hear(member, 'A');
}

static void hear_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    (void)context;
    hear(member, '=');
    struct seat *seat = SFL_CONTAINER_OF(member, struct seat, member);
    seat->callers = result->callers;
    seat->retain_ms = result->retain_ms;
    seat->retain_refused = result->retain_refused;
}

static void on_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    hear_result(context, member, result);
    sfl_outcome_unref(result->outcome);
}

static void on_refuse(void *context, struct sfl_member *member, const struct sfl_refusal *refusal)
{
    (void)context;
    hear(member, '!');
    SFL_CONTAINER_OF(member, struct seat, member)->reason = refusal->reason;
}

static void on_settled(void *context, const struct sfl_settled *settled)
{
    for (unsigned i = 0; i < settled->count; i++) {
        struct sfl_member *member = sfl_member_of_caller(settled->callers[i]);
        if (settled->restarts & 1U << i)
            on_restart(context, member, settled->result.outcome->attempt, settled->leader);
        if (settled->refused)
            on_refuse(context, member, &settled->refusal);
        else
            hear_result(context, member, &settled->result);
    }
}

static bool may_tell(void *context, unsigned shard, unsigned batches)
{
    struct fixture *f = context;
    f->shard = shard;
    return !f->is_busy && (batches == 0 || !f->wants_one_batch);
}

static const struct sfl_engine_sink sink = {
    .lead = on_lead,
    .follow = on_follow,
    .chunk = on_chunk,
    .restart = on_restart,
    .audience = on_audience,
    .result = on_result,
    .refuse = on_refuse,
    .settled = on_settled,
    .may_tell = may_tell,
};

static void on_earlier_tick(void *context)
{
    struct fixture *f = context;
    atomic_fetch_add(&f->earlier, 1);
}

static bool on_retain(void *context, const struct sfl_kept *kept)
{
    struct fixture *f = context;
    CHECK(kept->outcome != NULL && kept->group.size > 0 && kept->key.size > 0);
    if (f->refuses_to_keep)
        return false;
    f->retained++;
    return true;
}

static void on_drop(void *context, uint64_t token)
{
    struct fixture *f = context;
    CHECK(token > 0);
    f->dropped++;
}

static const struct sfl_keeper keeper = {.retain = on_retain, .drop = on_drop};

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->limits = sfl_limits_default;
    f->limits.lease_ms_min = 1;
    const struct sfl_standalone_options standalone = {.lanes = 4, .first_token = 100};
    assert_int_equal(sfl_standalone_create(&standalone, &f->coordinator), SFL_OK);
    struct sfl_engine_options options = {.shards = 4,
                                         .limits = &f->limits,
                                         .coordinator = f->coordinator,
                                         .sink = &sink,
                                         .sink_context = f,
                                         .keeper = &keeper,
                                         .keeper_context = f,
                                         .on_earlier_tick = on_earlier_tick,
                                         .tick_context = f};
    assert_int_equal(sfl_engine_create(&options, &f->engine), SFL_OK);
    f->due_ms = sfl_engine_tick(f->engine);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    sfl_engine_shut(f->engine);
    assert_true(sfl_engine_is_idle(f->engine));
    sfl_engine_destroy(f->engine);
    f->coordinator->ops->destroy(f->coordinator);
    free(f);
    return 0;
}

static struct sfl_join join_of(const char *key)
{
    return (struct sfl_join){
        .group = sfl_span_of_text("g"), .key = sfl_span_of_text(key), .deadline_ms = UINT64_MAX};
}

static void sit(struct fixture *f, struct seat *seat, const struct sfl_join *join)
{
    *seat = (struct seat){0};
    sfl_caller_init(&seat->member.caller);
    sfl_engine_join(f->engine, &seat->member, join, sfl_clock_now_ms());
}

static void finish(struct fixture *f, struct seat *seat)
{
    struct sfl_finish outcome = {.kind = SFL_OUTCOME_OK, .value = sfl_span_of_text("v")};
    sfl_engine_finish(f->engine, &seat->member, &outcome, sfl_clock_now_ms());
}

static void what_is_not_kept_is_not_retained(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    static struct seat b;
    static struct seat c;
    struct sfl_join join = join_of("k");
    join.retain_ms = 60000;
    f->refuses_to_keep = true;
    sit(f, &a, &join);
    sit(f, &b, &join);
    finish(f, &a);
    assert_string_equal(a.heard, "L=");
    assert_int_equal(a.retain_ms, 0);
    assert_true(a.retain_refused);
    assert_int_equal(b.retain_ms, 0);
    assert_true(b.retain_refused);
    sit(f, &c, &join);
    assert_string_equal(c.heard, "L");
    finish(f, &c);
    assert_int_equal(sfl_engine_stats(f->engine, join.group).retain_refused, 2);
    assert_int_equal(f->dropped, 0);
}

static void what_turns_out_not_to_be_kept_is_not_retained_any_more(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    static struct seat b;
    struct sfl_join join = join_of("k");
    join.retain_ms = 60000;
    sit(f, &a, &join);
    finish(f, &a);
    assert_int_equal(a.retain_ms, 60000);
    sfl_engine_unkeep(f->engine, &(struct sfl_unkept){join.group, join.key, a.token});
    sit(f, &b, &join);
    assert_string_equal(b.heard, "L");
    finish(f, &b);
    // Another one's token says nothing of it.
    sfl_engine_unkeep(f->engine, &(struct sfl_unkept){join.group, join.key, a.token});
    assert_int_equal(sfl_engine_stats(f->engine, join.group).retained_now, 1);
}

static void a_leader_and_its_followers_hear_in_order(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    static struct seat b;
    static struct seat c;
    struct sfl_join join = join_of("k");
    join.audience = true;
    sit(f, &a, &join);
    join.live = true;
    sit(f, &b, &join);
    join.live = false;
    sit(f, &c, &join);
    struct sfl_chunk chunk = {.data = sfl_span_of_text("x")};
    sfl_engine_chunk(f->engine, &a.member, &chunk, sfl_clock_now_ms());
    finish(f, &a);
    assert_string_equal(a.heard, "LA=");
    assert_string_equal(b.heard, "FC=");
    assert_string_equal(c.heard, "F=");
    assert_int_equal(c.callers, 3);
    assert_true(a.token > 100);
}

static unsigned count_told(const struct seat *seats, unsigned count)
{
    unsigned told = 0;
    for (unsigned i = 0; i < count; i++)
        told += strcmp(seats[i].heard, "F=") == 0;
    return told;
}

static unsigned count_heard(const struct seat *seats, unsigned count, const char *heard)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++)
        found += strcmp(seats[i].heard, heard) == 0;
    return found;
}

static void a_crowd_hears_in_batches_when_the_sink_wants_that(void **state)
{
    enum { CROWD = 2 * SFL_SETTLED_BATCH + 5 };
    struct fixture *f = *state;
    static struct seat leader;
    static struct seat crowd[CROWD];
    struct sfl_join join = join_of("k");
    sit(f, &leader, &join);
    for (unsigned i = 0; i < CROWD; i++)
        sit(f, &crowd[i], &join);
    f->wants_one_batch = true;
    finish(f, &leader);
    assert_string_equal(leader.heard, "L=");
    assert_int_equal(count_told(crowd, CROWD), SFL_SETTLED_BATCH);
    // Somebody who leaves meanwhile hears nothing but that.
    sfl_engine_leave(f->engine, &crowd[CROWD - 1].member, SFL_REASON_BROKEN, true,
                     sfl_clock_now_ms());
    assert_string_equal(crowd[CROWD - 1].heard, "F!");
    f->wants_one_batch = false;
    sfl_engine_deliver(f->engine, f->shard);
    assert_int_equal(count_told(crowd, CROWD), CROWD - 1);
    sfl_engine_deliver(f->engine, f->shard); // there is nobody left
    assert_true(sfl_engine_is_idle(f->engine));
}

static void a_chunk_is_told_to_a_crowd_of_live_followers_in_batches(void **state)
{
    enum { CROWD = 3 * SFL_LIVE_BATCH + 5 };
    struct fixture *f = *state;
    static struct seat leader;
    static struct seat crowd[CROWD];
    struct sfl_join join = join_of("k");
    sit(f, &leader, &join);
    join.live = true;
    for (unsigned i = 0; i < CROWD; i++)
        sit(f, &crowd[i], &join);
    f->is_busy = true;
    struct sfl_chunk chunk = {.data = sfl_span_of_text("one")};
    sfl_engine_chunk(f->engine, &leader.member, &chunk, sfl_clock_now_ms());
    assert_int_equal(count_heard(crowd, CROWD, "FC"), SFL_LIVE_BATCH);
    f->is_busy = false;
    f->wants_one_batch = true;
    sfl_engine_deliver(f->engine, f->shard);
    assert_int_equal(count_heard(crowd, CROWD, "FC"), 2 * SFL_LIVE_BATCH);
    sfl_engine_deliver(f->engine, f->shard);
    sfl_engine_deliver(f->engine, f->shard);
    assert_int_equal(count_heard(crowd, CROWD, "FC"), CROWD);
    // Those who have not heard of a new attempt yet hear of it before its result.
    f->is_busy = true;
    sfl_engine_leave(f->engine, &leader.member, SFL_REASON_BROKEN, true, sfl_clock_now_ms());
    assert_string_equal(crowd[0].heard, "FCL");
    assert_int_equal(count_heard(crowd, CROWD, "FCR"), SFL_LIVE_BATCH);
    finish(f, &crowd[0]);
    f->is_busy = false;
    f->wants_one_batch = false;
    sfl_engine_deliver(f->engine, f->shard);
    assert_int_equal(count_heard(crowd, CROWD, "FCR="), CROWD - 1);
}

static void a_crowd_waits_when_its_thread_may_not_tell_it(void **state)
{
    struct fixture *f = *state;
    static struct seat leader;
    static struct seat crowd[2];
    struct sfl_join join = join_of("k");
    sit(f, &leader, &join);
    for (unsigned i = 0; i < 2; i++)
        sit(f, &crowd[i], &join);
    f->is_busy = true;
    finish(f, &leader);
    assert_string_equal(leader.heard, "L=");
    assert_int_equal(count_told(crowd, 2), 0);
    f->is_busy = false;
    sfl_engine_deliver(f->engine, f->shard);
    assert_int_equal(count_told(crowd, 2), 2);
}

static void a_leader_that_leaves_hands_over(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    static struct seat b;
    static struct seat c;
    struct sfl_join join = join_of("k");
    join.live = true;
    sit(f, &a, &join);
    sit(f, &b, &join);
    sit(f, &c, &join);
    sfl_engine_leave(f->engine, &a.member, SFL_REASON_BROKEN, true, sfl_clock_now_ms());
    assert_string_equal(a.heard, "L!");
    assert_int_equal(a.reason, SFL_REASON_BROKEN);
    assert_string_equal(b.heard, "FL");
    assert_string_equal(c.heard, "FR");
    assert_true(b.token > a.token);
    // What comes after the last word is no one's.
    finish(f, &a);
    sfl_engine_renew(f->engine, &a.member, 0, sfl_clock_now_ms());
    sfl_engine_half_close(f->engine, &a.member, sfl_clock_now_ms());
    sfl_engine_leave(f->engine, &a.member, SFL_REASON_CANCELLED, true, sfl_clock_now_ms());
    assert_string_equal(a.heard, "L!");
    sfl_engine_half_close(f->engine, &c.member, sfl_clock_now_ms());
    sfl_engine_half_close(f->engine, &b.member, sfl_clock_now_ms());
    assert_string_equal(b.heard, "FL!");
    assert_int_equal(b.reason, SFL_REASON_FENCED_FOR);
    assert_string_equal(c.heard, "FR!");
    assert_int_equal(c.reason, SFL_REASON_NOBODY_LEADS);
}

static void tick_until(struct fixture *f, const struct seat *seat, const char *heard)
{
    uint64_t until_ms = sfl_clock_now_ms() + WAIT_MS;
    while (strcmp(seat->heard, heard) != 0) {
        assert_true(sfl_clock_now_ms() < until_ms);
        f->due_ms = sfl_engine_tick(f->engine);
    }
}

static void an_earlier_deadline_asks_for_an_earlier_tick(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    static struct seat b;
    struct sfl_join join = join_of("k");
    sit(f, &a, &join); // its run_limit, a day, is later than the tick that comes in any case
    assert_int_equal(atomic_load(&f->earlier), 0);
    f->due_ms = sfl_engine_tick(f->engine);
    assert_true(f->due_ms > sfl_clock_now_ms() + 1000);
    join.deadline_ms = sfl_clock_now_ms() + 5;
    join.ends_at_deadline = true;
    sit(f, &b, &join);
    assert_int_equal(atomic_load(&f->earlier), 1);
    f->due_ms = sfl_engine_tick(f->engine);
    assert_true(f->due_ms <= join.deadline_ms);
    tick_until(f, &b, "F!");
    assert_int_equal(b.reason, SFL_REASON_DEADLINE);
    assert_string_equal(a.heard, "L");
}

static void a_lease_that_runs_out_fences_by_the_tick(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    static struct seat b;
    static struct seat c;
    struct sfl_join join = join_of("k");
    join.lease_ms = 3;
    sit(f, &a, &join);
    sit(f, &b, &join);
    sit(f, &c, &join);
    tick_until(f, &a, "L!");
    assert_int_equal(a.reason, SFL_REASON_FENCED_FOR);
    tick_until(f, &b, "FL!"); // nobody renews this one either
}

static void a_retained_outcome_is_told_to_the_keeper_and_served(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    static struct seat b;
    struct sfl_join join = join_of("k");
    join.retain_ms = 60000;
    sit(f, &a, &join);
    finish(f, &a);
    assert_int_equal(f->retained, 1);
    sit(f, &b, &join);
    assert_string_equal(b.heard, "=");
    struct sfl_forget forget = {.group = join.group, .key = join.key};
    struct sfl_forgotten forgotten = sfl_engine_forget(f->engine, &forget);
    assert_true(forgotten.retained);
    assert_false(forgotten.flight);
    assert_int_equal(f->dropped, 1);
}

static bool count_flight(void *context, const struct sfl_flight_view *view)
{
    unsigned *seen = context;
    CHECK(view->key.size == 3);
    unsigned number = 10u * (view->key.data[1] - '0') + (view->key.data[2] - '0');
    CHECK(number < 100);
    seen[number]++;
    return true;
}

static void a_listing_shows_every_flight_of_every_shard_once(void **state)
{
    struct fixture *f = *state;
    static struct seat seats[100];
    static char keys[100][8];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%02u", i);
        struct sfl_join join = join_of(keys[i]);
        sit(f, &seats[i], &join);
    }
    unsigned seen[100] = {0};
    struct sfl_engine_cursor cursor = {0};
    while (sfl_engine_visit(f->engine, &cursor, count_flight, seen))
        continue;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(sfl_engine_stats(f->engine, sfl_span_of(NULL, 0)).flights_now, 100);
    assert_int_equal(sfl_engine_stats(f->engine, sfl_span_of_text("g")).executions, 100);
    assert_false(sfl_engine_is_idle(f->engine));
    sfl_engine_drain(f->engine);
    sfl_engine_shut(f->engine);
    for (unsigned i = 0; i < 100; i++) {
        assert_string_equal(seats[i].heard, "L!");
        assert_int_equal(seats[i].reason, SFL_REASON_DRAINED);
    }
    assert_true(sfl_engine_is_idle(f->engine));
}

static void while_draining_new_callers_are_refused_in_every_shard(void **state)
{
    struct fixture *f = *state;
    sfl_engine_drain(f->engine);
    char key[8];
    for (unsigned i = 0; i < 32; i++) {
        struct seat seat;
        snprintf(key, sizeof(key), "k%02u", i);
        struct sfl_join join = join_of(key);
        sit(f, &seat, &join);
        assert_string_equal(seat.heard, "!");
        assert_int_equal(seat.reason, SFL_REASON_DRAINING);
    }
}

static void retain_many(struct fixture *f, unsigned count)
{
    struct sfl_outcome_parts parts = {
        .kind = SFL_OUTCOME_OK, .attempt = 1, .token = 1, .value = sfl_span_of_text("v")};
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "r%u", i);
        struct sfl_join join = join_of(key);
        assert_true(sfl_engine_restore(f->engine, &join, &parts, 1, 0, 60000));
    }
}

static void an_engine_is_large_when_it_knows_much(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    struct sfl_join join = join_of("k");
    sit(f, &a, &join);
    assert_false(sfl_engine_is_large(f->engine));
    retain_many(f, 20000);
    assert_true(sfl_engine_is_large(f->engine));
}

static void what_is_announced_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    static struct seat b;
    static struct seat c;
    struct sfl_join join = join_of("k");
    struct sfl_join other = join_of("other");
    retain_many(f, 100);
    sit(f, &a, &join);
    sit(f, &b, &join);
    sit(f, &c, &other);
    finish(f, &c);
    struct sfl_stats before = sfl_engine_stats(f->engine, sfl_span_of(NULL, 0));
    struct sfl_announced steps[SFL_ANNOUNCED_MAX] = {
        {.member = &a.member}, {.member = &b.member}, {.member = &c.member}};
    for (unsigned i = 3; i < SFL_ANNOUNCED_MAX; i++) {
        static const char *const keys[] = {"k", "other", "r7", "never"};
        steps[i] = (struct sfl_announced){.group = sfl_span_of_text("g"),
                                          .key = sfl_span_of_text(keys[i % 4])};
    }
    for (unsigned count = 0; count <= SFL_ANNOUNCED_MAX; count++)
        sfl_engine_announce(f->engine, steps, count);
    struct sfl_stats after = sfl_engine_stats(f->engine, sfl_span_of(NULL, 0));
    assert_memory_equal(&before, &after, sizeof(before));
    finish(f, &a);
    assert_string_equal(a.heard, "L=");
    assert_string_equal(b.heard, "F=");
    assert_string_equal(c.heard, "L=");
}

static void announce_a_key(void *context)
{
    struct fixture *f = context;
    struct sfl_announced step = {.group = sfl_span_of_text("g"), .key = sfl_span_of_text("k")};
    sfl_engine_announce(f->engine, &step, 1);
    f->announced++;
}

static void who_announces_waits_for_no_lock(void **state)
{
    struct fixture *f = *state;
    static struct seat a;
    struct sfl_join join = join_of("k");
    f->under_lock = announce_a_key;
    sit(f, &a, &join);
    assert_string_equal(a.heard, "L");
    assert_int_equal(f->announced, 1);
}

static void refusals_of_the_transport_are_counted(void **state)
{
    struct fixture *f = *state;
    sfl_engine_count_refused(f->engine, SFL_REASON_CONNECTION_LIMIT);
    sfl_engine_count_refused(f->engine, SFL_REASON_CONNECTION_LIMIT);
    assert_int_equal(sfl_engine_stats(f->engine, sfl_span_of(NULL, 0)).refused, 2);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(what_is_not_kept_is_not_retained),
        WITH_FIXTURE(what_turns_out_not_to_be_kept_is_not_retained_any_more),
        WITH_FIXTURE(a_leader_and_its_followers_hear_in_order),
        WITH_FIXTURE(a_crowd_hears_in_batches_when_the_sink_wants_that),
        WITH_FIXTURE(a_crowd_waits_when_its_thread_may_not_tell_it),
        WITH_FIXTURE(a_chunk_is_told_to_a_crowd_of_live_followers_in_batches),
        WITH_FIXTURE(a_leader_that_leaves_hands_over),
        WITH_FIXTURE(an_earlier_deadline_asks_for_an_earlier_tick),
        WITH_FIXTURE(a_lease_that_runs_out_fences_by_the_tick),
        WITH_FIXTURE(a_retained_outcome_is_told_to_the_keeper_and_served),
        WITH_FIXTURE(a_listing_shows_every_flight_of_every_shard_once),
        WITH_FIXTURE(while_draining_new_callers_are_refused_in_every_shard),
        WITH_FIXTURE(an_engine_is_large_when_it_knows_much),
        WITH_FIXTURE(what_is_announced_changes_nothing),
        WITH_FIXTURE(who_announces_waits_for_no_lock),
        WITH_FIXTURE(refusals_of_the_transport_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
