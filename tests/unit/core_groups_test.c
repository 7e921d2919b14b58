// SPDX-License-Identifier: Apache-2.0
// Groups by the thousand: how many have counters and quotas, and which of them make room for
// others.
#include "support/world.h"

#include <stdio.h>
#include <stdlib.h>

#define LATE .group = sfl_span_of_text("late")

// Groups of one leader each. They are not of the world's people, who are few.
struct row {
    unsigned count;
    struct sfl_caller callers[SFL_GROUPS_MAX];
};

// False: it is refused. `is_again`: it has been told to wait until there is room.
static bool lead_or_again(struct world *w, struct sfl_caller *caller, const char *group,
                          bool is_again)
{
    struct sfl_effects effects;
    struct sfl_join join = {.group = sfl_span_of_text(group),
                            .key = sfl_span_of_text("k"),
                            .role = SFL_ROLE_ANY,
                            .deadline_ms = UINT64_MAX};
    sfl_caller_init(caller);
    struct sfl_event joins = {.type = SFL_EVENT_JOIN,
                              .now_ms = world_now(w),
                              .caller = caller,
                              .hash = world_hash(group, "k"),
                              .is_again = is_again,
                              .join = &join};
    sfl_table_step(world_table(w), &joins, &effects);
    if (!sfl_caller_is_joined(caller))
        return false;
    static uint64_t token = 1000;
    struct sfl_event found = {
        .type = SFL_EVENT_HOME_FOUND,
        .now_ms = world_now(w),
        .home = {.flight = effects.items[0].flight, .found = true, .token = ++token}};
    sfl_table_step(world_table(w), &found, &effects);
    return true;
}

static bool lead(struct world *w, struct sfl_caller *caller, const char *group)
{
    return lead_or_again(w, caller, group, false);
}

static void leave(struct world *w, struct sfl_caller *caller)
{
    struct sfl_effects effects;
    struct sfl_event leaves = {.type = SFL_EVENT_LEAVE,
                               .now_ms = world_now(w),
                               .caller = caller,
                               .leave = {.refusal = {.reason = SFL_REASON_CANCELLED}}};
    sfl_table_step(world_table(w), &leaves, &effects);
}

static bool lead_number(struct world *w, struct sfl_caller *caller, unsigned number)
{
    char group[16];
    snprintf(group, sizeof(group), "row-%u", number);
    return lead(w, caller, group);
}

static struct row *join_row(struct world *w, unsigned count)
{
    struct row *row = calloc(1, sizeof(*row));
    assert_non_null(row);
    row->count = count;
    for (unsigned i = 0; i < count; i++)
        assert_true(lead_number(w, &row->callers[i], i));
    return row;
}

static void leave_row(struct world *w, struct row *row)
{
    for (unsigned i = 0; i < row->count; i++)
        leave(w, &row->callers[i]);
    free(row);
}

static uint64_t calls_of(struct world *w, const char *group)
{
    return sfl_table_stats(world_table(w), sfl_span_of_text(group)).calls;
}

// Whether a new group finds room: a search looks at some of the others, the next one at more.
static bool finds_room(struct world *w)
{
    for (unsigned tries = 0; tries < 400 && calls_of(w, "late") == 0; tries++) {
        struct sfl_caller caller;
        if (lead(w, &caller, "late"))
            leave(w, &caller);
    }
    return calls_of(w, "late") != 0;
}

// One call of the group "g", which ends.
static void call_once(struct world *w)
{
    JOIN(w, "A");
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
}

static void groups_beyond_the_last_that_is_counted_work_all_the_same(void **state)
{
    (void)state;
    struct world *w = world_open();
    struct row *row = join_row(w, SFL_GROUPS_MAX);
    JOIN(w, "A", LATE);
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    assert_int_equal(calls_of(w, "late"), 0);
    assert_int_equal(world_stats(w).calls, SFL_GROUPS_MAX + 1);
    leave_row(w, row);
    world_close(w);
}

static void a_group_that_has_nothing_makes_room_for_another(void **state)
{
    (void)state;
    struct world *w = world_open();
    call_once(w);
    struct row *row = join_row(w, SFL_GROUPS_MAX - 1);
    assert_int_equal(calls_of(w, "g"), 1);
    assert_true(finds_room(w));
    assert_int_equal(calls_of(w, "g"), 0);
    assert_int_equal(world_table(w)->groups.count, SFL_GROUPS_MAX);
    leave_row(w, row);
    world_close(w);
}

static void a_group_with_flights_or_outcomes_stays(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    struct row *row = join_row(w, SFL_GROUPS_MAX - 1);
    assert_false(finds_room(w));
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
    assert_false(finds_room(w));
    world_pass(w, 1000);
    assert_true(finds_room(w));
    leave_row(w, row);
    world_close(w);
}

static void with_quotas_one_that_has_nothing_makes_room_and_nobody_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open_with_quota(&sfl_quota_unlimited);
    call_once(w);
    struct row *row = join_row(w, SFL_GROUPS_MAX - 1);
    struct sfl_caller caller;
    unsigned tries = 0;
    while (!lead(w, &caller, "late"))
        assert_true(++tries < 400);
    leave(w, &caller);
    leave_row(w, row);
    world_close(w);
}

static void one_that_went_while_its_caller_waited_for_room_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open_with_quota(&sfl_quota_unlimited);
    struct row *row = join_row(w, SFL_GROUPS_MAX);
    struct sfl_caller caller;
    assert_false(lead_or_again(w, &caller, "late", true)); // its flight could not be counted
    leave_row(w, row);
    world_close(w);
}

static void joins_of_the_last_second_are_not_forgotten(void **state)
{
    (void)state;
    struct sfl_quota_limits limits = sfl_quota_unlimited;
    limits.joins_per_second = 1;
    struct world *w = world_open_with_quota(&limits);
    call_once(w);
    struct row *row = join_row(w, SFL_GROUPS_MAX - 1);
    world_pass(w, 999);
    assert_false(finds_room(w));
    world_pass(w, 1);
    assert_true(finds_room(w));
    leave_row(w, row);
    world_close(w);
}

static void a_group_stays_until_the_last_reader_has_its_bytes(void **state)
{
    (void)state;
    struct world *w = world_open_with_quota(&sfl_quota_unlimited);
    call_once(w);
    struct sfl_held *held = sfl_table_held(world_table(w), sfl_span_of_text("g"));
    assert_int_equal(sfl_held_take(held, world_limits(w), 5), SFL_REASON_NONE);
    struct row *row = join_row(w, SFL_GROUPS_MAX - 1);
    assert_false(finds_room(w));
    sfl_held_give(held, 5);
    assert_true(finds_room(w));
    leave_row(w, row);
    world_close(w);
}

static void of_groups_that_have_nothing_one_that_was_called_less_goes_first(void **state)
{
    (void)state;
    struct world *w = world_open();
    for (int i = 0; i < 3; i++)
        call_once(w);
    struct row *row = join_row(w, SFL_GROUPS_MAX - 1);
    leave_row(w, row);
    for (unsigned i = 0; i < 4 * SFL_GROUPS_MAX; i++) {
        struct sfl_caller caller;
        assert_true(lead_number(w, &caller, SFL_GROUPS_MAX + i));
        leave(w, &caller);
    }
    assert_int_equal(calls_of(w, "g"), 3);
    assert_int_equal(world_table(w)->groups.count, SFL_GROUPS_MAX);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_beyond_the_last_that_is_counted_work_all_the_same),
        cmocka_unit_test(a_group_that_has_nothing_makes_room_for_another),
        cmocka_unit_test(a_group_with_flights_or_outcomes_stays),
        cmocka_unit_test(with_quotas_one_that_has_nothing_makes_room_and_nobody_is_refused),
        cmocka_unit_test(one_that_went_while_its_caller_waited_for_room_is_refused),
        cmocka_unit_test(joins_of_the_last_second_are_not_forgotten),
        cmocka_unit_test(a_group_stays_until_the_last_reader_has_its_bytes),
        cmocka_unit_test(of_groups_that_have_nothing_one_that_was_called_less_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
