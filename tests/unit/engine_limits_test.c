// SPDX-License-Identifier: Apache-2.0
// The limits of the whole process hold to the last caller, over all shards and from many threads:
// nobody is refused below them for what another shard holds in advance.
#include "base/clock.h"
#include "coordinator/coordinator.h"
#include "engine/engine.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SHARDS = 16, LIMIT = 1000, THREADS = 4, SEATS = 600 }; // of each thread

struct seat {
    struct sfl_member member;
    bool leads;
    bool is_refused;
};

struct stage {
    struct sfl_limits limits;
    struct sfl_quota_limits quota; // of every group
    struct sfl_quotas *quotas;     // NULL: none
    struct sfl_coordinator *coordinator;
    struct sfl_engine *engine;
    struct seat seats[THREADS][SEATS];
    _Atomic int refused_for; // a reason
};

struct worker {
    struct stage *stage;
    unsigned number;
    pthread_t thread;
};

static struct seat *seat_of(struct sfl_member *member)
{
    return SFL_CONTAINER_OF(member, struct seat, member);
}

static void on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead)
{
    (void)context;
    (void)lead;
    seat_of(member)->leads = true;
}

static void on_refuse(void *context, struct sfl_member *member, const struct sfl_refusal *refusal)
{
    struct stage *stage = context;
    seat_of(member)->leads = false;
    seat_of(member)->is_refused = true;
    if (refusal->reason != SFL_REASON_CANCELLED)
        stage->refused_for =
            refusal->reason; // all for the same reason, so it does not matter whose
}

static void on_earlier_tick(void *context)
{
    (void)context;
}

static const struct sfl_engine_sink sink = {.lead = on_lead, .refuse = on_refuse};

static int open_stage(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    assert_non_null(stage);
    stage->limits = sfl_limits_default;
    const struct sfl_standalone_options standalone = {.lanes = SHARDS};
    assert_int_equal(sfl_standalone_create(&standalone, &stage->coordinator), SFL_OK);
    *state = stage;
    return 0;
}

static void open_engine(struct stage *stage)
{
    const struct sfl_engine_options options = {.shards = SHARDS,
                                               .limits = &stage->limits,
                                               .coordinator = stage->coordinator,
                                               .sink = &sink,
                                               .sink_context = stage,
                                               .quotas = stage->quotas,
                                               .on_earlier_tick = on_earlier_tick};
    assert_int_equal(sfl_engine_create(&options, &stage->engine), SFL_OK);
}

static void come_with(struct stage *stage, struct seat *seat, uint64_t lease_ms)
{
    char key[32];
    snprintf(key, sizeof(key), "%p", (void *)seat);
    const struct sfl_join join = {
        .group = sfl_span_of_text("g"),
        .key = sfl_span_of_text(key),
        .lease_ms = lease_ms,
        .deadline_ms = UINT64_MAX,
    };
    *seat = (struct seat){0};
    sfl_caller_init(&seat->member.caller);
    sfl_engine_join(stage->engine, &seat->member, &join, 1000);
}

static void come(struct stage *stage, struct seat *seat)
{
    come_with(stage, seat, 0);
}

static void go(struct stage *stage, struct seat *seat)
{
    sfl_engine_leave(stage->engine, &seat->member, SFL_REASON_CANCELLED, true, 1000);
}

static int close_stage(void **state)
{
    struct stage *stage = *state;
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < SEATS; i++)
            if (stage->seats[t][i].leads)
                go(stage, &stage->seats[t][i]);
    assert_true(sfl_engine_is_idle(stage->engine));
    sfl_engine_destroy(stage->engine);
    sfl_quotas_destroy(stage->quotas); // which finds out what is still in use
    stage->coordinator->ops->destroy(stage->coordinator);
    free(stage);
    return 0;
}

// Everybody comes and goes in between, so that all shards have taken in advance.
static void *crowd_in(void *argument)
{
    struct worker *worker = argument;
    struct stage *stage = worker->stage;
    struct seat *seats = stage->seats[worker->number];
    for (unsigned i = 0; i < SEATS / 4; i++) {
        come(stage, &seats[i]);
        if (seats[i].leads)
            go(stage, &seats[i]);
    }
    for (unsigned i = 0; i < SEATS; i++)
        come(stage, &seats[i]);
    return NULL;
}

static unsigned count_leaders(struct stage *stage)
{
    unsigned count = 0;
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < SEATS; i++) {
            assert_true(stage->seats[t][i].leads != stage->seats[t][i].is_refused);
            count += stage->seats[t][i].leads;
        }
    return count;
}

static void check_edge(struct stage *stage, enum sfl_reason reason)
{
    struct worker workers[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        workers[t] = (struct worker){.stage = stage, .number = t};
        assert_int_equal(pthread_create(&workers[t].thread, NULL, crowd_in, &workers[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(workers[t].thread, NULL);
    assert_int_equal(count_leaders(stage), LIMIT);
    assert_int_equal(stage->refused_for, reason);

    struct seat more = {0};
    come(stage, &more);
    assert_true(more.is_refused);
    // Whichever shard the one who leaves was in, there is room for one who comes to any other.
    unsigned left = 0;
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < SEATS && left < 50; i += 7) {
            if (!stage->seats[t][i].leads)
                continue;
            go(stage, &stage->seats[t][i]);
            come(stage, &more);
            assert_true(more.leads);
            go(stage, &more);
            come(stage, &stage->seats[t][i]);
            assert_true(stage->seats[t][i].leads);
            come(stage, &more);
            assert_true(more.is_refused);
            left++;
        }
    assert_int_equal(left, 50);
}

static void the_limit_of_callers_is_exact_over_all_shards(void **state)
{
    struct stage *stage = *state;
    stage->limits.callers_max = LIMIT;
    open_engine(stage);
    check_edge(stage, SFL_REASON_CALLERS_LIMIT);
}

static void the_limit_of_flights_is_exact_over_all_shards(void **state)
{
    struct stage *stage = *state;
    stage->limits.flights_max = LIMIT;
    open_engine(stage);
    check_edge(stage, SFL_REASON_FLIGHTS_LIMIT);
}

static struct sfl_quota_limits quota_of(void *context, struct sfl_span group)
{
    const struct stage *stage = context;
    assert_true(sfl_span_equal(group, sfl_span_of_text("g")));
    return stage->quota;
}

static void open_with_quotas(struct stage *stage)
{
    const struct sfl_quotas_options options = {.limits_of = quota_of, .context = stage};
    assert_int_equal(sfl_quotas_create(&options, &stage->quotas), SFL_OK);
    open_engine(stage);
}

static void a_groups_quota_of_callers_is_exact_over_all_shards(void **state)
{
    struct stage *stage = *state;
    stage->quota = sfl_quota_unlimited;
    stage->quota.callers_max = LIMIT;
    open_with_quotas(stage);
    check_edge(stage, SFL_REASON_CALLERS_QUOTA);
}

static void a_groups_quota_of_flights_is_exact_over_all_shards(void **state)
{
    struct stage *stage = *state;
    stage->quota = sfl_quota_unlimited;
    stage->quota.flights_max = LIMIT;
    open_with_quotas(stage);
    check_edge(stage, SFL_REASON_FLIGHTS_QUOTA);
}

static void a_quota_that_is_reloaded_holds_for_groups_that_are_known(void **state)
{
    struct stage *stage = *state;
    struct seat *seats = stage->seats[0];
    stage->quota = sfl_quota_unlimited;
    open_with_quotas(stage);
    for (unsigned i = 0; i < SEATS; i++) {
        come(stage, &seats[i]);
        assert_true(seats[i].leads);
    }
    stage->quota.flights_max = SEATS;
    sfl_quotas_reload(stage->quotas);
    struct seat *late = &stage->seats[1][0];
    come(stage, late);
    assert_true(late->is_refused);
    assert_int_equal(stage->refused_for, SFL_REASON_FLIGHTS_QUOTA);
    go(stage, &seats[7]);
    come(stage, late);
    assert_true(late->leads);
}

// Of the groups below, while they are asked for anew.
struct asked {
    struct sfl_quotas *quotas; // NULL: for the first time
    unsigned count;
};

static struct sfl_quota_limits ask(void *context, struct sfl_span group)
{
    struct asked *asked = context;
    struct sfl_quota_limits limits = sfl_quota_unlimited;
    asked->count++;
    if (asked->quotas == NULL)
        return limits;
    limits.flights_max = group.size;
    // Somebody else comes meanwhile, and has not to wait.
    struct sfl_quotas *quotas = asked->quotas;
    asked->quotas = NULL;
    sfl_quotas_release(quotas, sfl_quotas_find(quotas, sfl_span_of_text("one-more")));
    asked->quotas = quotas;
    return limits;
}

static void a_reload_asks_for_each_group_and_holds_up_nobody(void **state)
{
    (void)state;
    enum { GROUPS = 200, GONE = 30 };
    struct asked asked = {.quotas = NULL};
    const struct sfl_quotas_options options = {.limits_of = ask, .context = &asked};
    struct sfl_quotas *quotas;
    struct sfl_quota *found[GROUPS];
    char name[16];
    assert_int_equal(sfl_quotas_create(&options, &quotas), SFL_OK);
    for (int i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof(name), "g%03d", i);
        found[i] = sfl_quotas_find(quotas, sfl_span_of_text(name));
    }
    for (int i = 0; i < GONE; i++)
        sfl_quotas_release(quotas, found[i]);
    assert_int_equal(asked.count, GROUPS);
    asked = (struct asked){.quotas = quotas};
    sfl_quotas_reload(quotas);
    assert_int_equal(asked.count, 2 * (GROUPS - GONE)); // each, and the one that came meanwhile
    for (int i = GONE; i < GROUPS; i++) {
        assert_int_equal(sfl_quota_get(found[i]).flights_max, 4);
        sfl_quotas_release(quotas, found[i]);
    }
    sfl_quotas_destroy(quotas); // which finds out what is left
}

// What a group that makes room takes with it.
struct group_parts {
    struct sfl_quota quota;
    struct sfl_quota_shares shares;
    struct sfl_held held;
};

static void *give_back(void *held)
{
    sfl_held_give(held, 5);
    return NULL;
}

// For the sanitizers: the last reader of a group's bytes may be any thread.
static void a_group_may_go_once_the_last_reader_has_its_bytes(void **state)
{
    (void)state;
    struct sfl_budget all;
    struct sfl_share share;
    const struct sfl_limits limits = {.held_bytes_max = UINT64_MAX};
    sfl_budget_init(&all, 1024);
    sfl_share_init(&share, &all);
    for (int i = 0; i < 200; i++) {
        pthread_t reader;
        struct group_parts *group = malloc(sizeof(*group));
        sfl_quota_init(&group->quota, &sfl_quota_unlimited);
        sfl_quota_shares_init(&group->shares, &group->quota);
        group->held = (struct sfl_held){.all = &share, .quota = &group->shares};
        assert_int_equal(sfl_held_take(&group->held, &limits, 5), SFL_REASON_NONE);
        assert_false(sfl_quota_has_nothing(&group->quota, 0));
        if (i % 2 == 0)
            sfl_budget_recall(&group->quota.held_bytes); // then it goes to the budget itself
        assert_int_equal(pthread_create(&reader, NULL, give_back, &group->held), 0);
        while (!sfl_quota_has_nothing(&group->quota, 0))
            sched_yield();
        sfl_quota_shares_deinit(&group->shares);
        sfl_quota_deinit(&group->quota);
        free(group);
        pthread_join(reader, NULL);
    }
    sfl_share_deinit(&share);
    sfl_budget_deinit(&all);
}

static bool count_overdue(void *context, const struct sfl_flight_view *view)
{
    *(unsigned *)context += view->overdue;
    return true;
}

static unsigned overdue_now(struct stage *stage)
{
    struct sfl_engine_cursor cursor = {0};
    unsigned count = 0;
    while (sfl_engine_visit(stage->engine, &cursor, count_overdue, &count))
        continue;
    return count;
}

// Whichever shards they are in.
static void without_room_overdue_leaders_give_theirs_one_after_the_other(void **state)
{
    enum { FLIGHTS = 40 };
    struct stage *stage = *state;
    struct seat *seats = stage->seats[0];
    struct seat *late = stage->seats[1];
    stage->limits.flights_max = FLIGHTS;
    stage->limits.lease_ms_min = 1;
    open_engine(stage);
    for (unsigned i = 0; i < FLIGHTS; i++)
        come_with(stage, &seats[i], 1);
    while (overdue_now(stage) < FLIGHTS)
        (void)sfl_engine_tick(stage->engine); // a millisecond passes soon
    for (unsigned i = 0; i < FLIGHTS; i++) {
        come(stage, &late[i]);
        assert_true(late[i].leads);
        assert_int_equal(overdue_now(stage), FLIGHTS - 1 - i);
        assert_int_equal(stage->refused_for, SFL_REASON_FENCED_FOR);
    }
    come(stage, &late[FLIGHTS]);
    assert_true(late[FLIGHTS].is_refused);
    assert_int_equal(stage->refused_for, SFL_REASON_FLIGHTS_LIMIT);
}

static void without_room_in_its_quota_a_groups_overdue_leaders_give_theirs(void **state)
{
    enum { FLIGHTS = 40 };
    struct stage *stage = *state;
    struct seat *seats = stage->seats[0];
    struct seat *late = stage->seats[1];
    stage->quota = sfl_quota_unlimited;
    stage->quota.flights_max = FLIGHTS;
    stage->limits.lease_ms_min = 1;
    open_with_quotas(stage);
    for (unsigned i = 0; i < FLIGHTS; i++)
        come_with(stage, &seats[i], 1);
    while (overdue_now(stage) < FLIGHTS)
        (void)sfl_engine_tick(stage->engine); // a millisecond passes soon
    for (unsigned i = 0; i < FLIGHTS; i++) {
        come(stage, &late[i]);
        assert_true(late[i].leads);
        assert_int_equal(overdue_now(stage), FLIGHTS - 1 - i);
    }
    come(stage, &late[FLIGHTS]);
    assert_true(late[FLIGHTS].is_refused);
    assert_int_equal(stage->refused_for, SFL_REASON_FLIGHTS_QUOTA);
}

static void without_bytes_as_many_overdue_leaders_give_theirs_as_it_takes(void **state)
{
    enum { FLIGHTS = 40 };
    static const uint8_t bytes[FLIGHTS];
    struct stage *stage = *state;
    struct seat *seats = stage->seats[0];
    struct seat *late = &stage->seats[1][0];
    stage->limits.held_bytes_max = FLIGHTS;
    stage->limits.lease_ms_min = 1;
    open_engine(stage);
    for (unsigned i = 0; i < FLIGHTS; i++) {
        const struct sfl_chunk one = {.data = {bytes, 1}};
        come_with(stage, &seats[i], 1);
        sfl_engine_chunk(stage->engine, &seats[i].member, &one, sfl_clock_now_ms());
    }
    while (overdue_now(stage) < FLIGHTS)
        (void)sfl_engine_tick(stage->engine); // a millisecond passes soon
    come(stage, late);
    const struct sfl_chunk all = {.data = {bytes, FLIGHTS}};
    sfl_engine_chunk(stage->engine, &late->member, &all, sfl_clock_now_ms());
    assert_true(late->leads);
    assert_int_equal(overdue_now(stage), 0);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_limit_of_callers_is_exact_over_all_shards),
        STORY(the_limit_of_flights_is_exact_over_all_shards),
        STORY(a_groups_quota_of_callers_is_exact_over_all_shards),
        STORY(a_groups_quota_of_flights_is_exact_over_all_shards),
        STORY(a_quota_that_is_reloaded_holds_for_groups_that_are_known),
        cmocka_unit_test(a_group_may_go_once_the_last_reader_has_its_bytes),
        cmocka_unit_test(a_reload_asks_for_each_group_and_holds_up_nobody),
        STORY(without_room_in_its_quota_a_groups_overdue_leaders_give_theirs),
        STORY(without_room_overdue_leaders_give_theirs_one_after_the_other),
        STORY(without_bytes_as_many_overdue_leaders_give_theirs_as_it_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
