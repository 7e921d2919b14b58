// SPDX-License-Identifier: Apache-2.0
#include "admin/groups.h"
#include "admin/history.h"
#include "admin/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// --- the history ---

static struct sfl_admin_counts counted(uint64_t calls, uint64_t flights)
{
    return (struct sfl_admin_counts){.counters.calls = calls, .current.flights = flights};
}

static void the_first_look_only_notes_where_counting_begins(void **state)
{
    struct sfl_history history = {.added = 0};
    struct sfl_admin_counts counts = counted(1000, 1);
    (void)state;
    assert_null(sfl_history_add(&history, 5000, 1000000, &counts));
    assert_int_equal(sfl_history_count(&history), 0);
    counts = counted(1050, 3);
    const struct sfl_history_point *point = sfl_history_add(&history, 15000, 1010000, &counts);
    assert_non_null(point);
    assert_float_equal(point->values[SFL_HISTORY_calls], 5, 1e-9);
    assert_float_equal(point->values[SFL_HISTORY_flights], 3, 1e-9);
    assert_true(isnan(point->values[SFL_HISTORY_flight_p50_ms]));
}

static void a_late_look_is_a_rate_over_the_time_that_passed(void **state)
{
    struct sfl_history history = {.added = 0};
    struct sfl_admin_counts counts = counted(0, 0);
    (void)state;
    (void)sfl_history_add(&history, 0, 0, &counts);
    counts = counted(300, 0);
    const struct sfl_history_point *point = sfl_history_add(&history, 30000, 30000, &counts);
    assert_float_equal(point->values[SFL_HISTORY_calls], 10, 1e-9);
}

static void only_the_last_hour_stays(void **state)
{
    struct sfl_history history = {.added = 0};
    (void)state;
    for (uint64_t i = 0; i <= SFL_HISTORY_POINTS + 5; i++) {
        struct sfl_admin_counts counts = counted(i * i, i);
        (void)sfl_history_add(&history, i * 10000, i * 10000, &counts);
    }
    assert_int_equal(sfl_history_count(&history), SFL_HISTORY_POINTS);
    assert_float_equal(sfl_history_at(&history, 0)->values[SFL_HISTORY_flights], 6, 1e-9);
    assert_float_equal(sfl_history_at(&history, 359)->values[SFL_HISTORY_flights], 365, 1e-9);
}

static void percentiles_are_those_of_the_interval(void **state)
{
    struct sfl_histogram before = {.sum = 0};
    struct sfl_histogram now;
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        sfl_histogram_add(&before, &sfl_bounds_ms, 60000);
    now = before;
    assert_true(isnan(sfl_history_percentile(&now, &before, 50)));
    for (unsigned i = 0; i < 100; i++)
        sfl_histogram_add(&now, &sfl_bounds_ms, i < 90 ? 15 : 150);
    double p50 = sfl_history_percentile(&now, &before, 50);
    double p99 = sfl_history_percentile(&now, &before, 99);
    assert_true(p50 > 10 && p50 <= 20);
    assert_true(p99 > 100 && p99 <= 200);
    assert_true(sfl_history_percentile(&now, &before, 10) < p50);
}

static void what_is_above_all_bounds_is_the_last_bound(void **state)
{
    struct sfl_histogram before = {.sum = 0};
    struct sfl_histogram now = {.sum = 0};
    (void)state;
    sfl_histogram_add(&now, &sfl_bounds_ms, UINT64_C(1) << 40);
    assert_float_equal(sfl_history_percentile(&now, &before, 99), 600000, 1e-9);
}

static void rates_are_over_ten_seconds(void **state)
{
    struct sfl_rates rates = {.count = 0};
    struct sfl_admin_counters counters = {.calls = 100};
    (void)state;
    sfl_rates_add(&rates, 1000, &counters);
    assert_float_equal(rates.calls_per_s, 0, 1e-9);
    for (uint64_t second = 2; second <= 12; second++) {
        counters.calls += 20;
        counters.saved += 10;
        sfl_rates_add(&rates, second * 1000, &counters);
    }
    assert_float_equal(rates.calls_per_s, 20, 1e-9);
    assert_float_equal(rates.saved_per_s, 10, 1e-9);
    for (uint64_t second = 13; second <= 23; second++)
        sfl_rates_add(&rates, second * 1000, &counters);
    assert_float_equal(rates.calls_per_s, 0, 1e-9);
}

// What stands in a JSON text after `"name":`, up to a comma that ends it, or a bracket.
static void assert_begins(const char *json, const char *name, const char *wanted)
{
    char label[64];
    snprintf(label, sizeof(label), "\"%s\":", name);
    const char *at = strstr(json, label);
    assert_non_null(at);
    assert_memory_equal(at + strlen(label), wanted, strlen(wanted));
}

static void the_json_has_360_points_each_at_its_time(void **state)
{
    struct sfl_history *history = calloc(1, sizeof(*history));
    struct sfl_admin_counts counts = counted(0, 0);
    const uint64_t begun = UINT64_C(1700000000000);
    (void)state;
    (void)sfl_history_add(history, 0, begun, &counts);
    counts = counted(10, 7);
    (void)sfl_history_add(history, 10000, begun + 10000, &counts);
    // The machine slept for ten minutes.
    counts = counted(20, 8);
    (void)sfl_history_add(history, 20000, begun + 620000, &counts);
    char *json = sfl_json_history(history, begun + 620000);
    assert_begins(json, "first_ms", "1699997030000");
    unsigned commas = 0;
    const char *flights = strstr(json, "\"flights\":[");
    for (const char *at = flights; *at != ']'; at++)
        commas += *at == ',';
    assert_int_equal(commas, 359);
    const char *seven = strstr(flights, ",7,");
    const char *end = strchr(flights, ']');
    assert_true(seven != NULL && seven < end && end[-1] == '8');
    unsigned between = 0;
    for (const char *at = seven + 3; at < end - 1; at++)
        between += *at == ',';
    assert_int_equal(between, 60);
    free(json);
    free(history);
}

// --- groups ---

static struct sfl_admin_group group_of(const char *name, uint64_t callers, uint64_t calls)
{
    return (struct sfl_admin_group){
        .name = sfl_span_of_text(name),
        .callers = callers,
        .calls = calls,
        .retained_bytes = SFL_ADMIN_NONE,
        .limits = {SFL_ADMIN_NONE, SFL_ADMIN_NONE, SFL_ADMIN_NONE, SFL_ADMIN_NONE, SFL_ADMIN_NONE},
    };
}

static void look(struct sfl_groups *groups, const struct sfl_admin_group *seen, size_t count,
                 uint64_t now_ms)
{
    for (size_t i = 0; i < count; i++)
        sfl_groups_offer(groups, &seen[i]);
    sfl_groups_finish(groups, now_ms);
}

static void the_parts_of_a_group_are_put_together(void **state)
{
    struct sfl_groups groups = {.total = 0};
    struct sfl_admin_group quota = group_of("b", 0, 0);
    quota.retained_bytes = 70;
    quota.limits.flights = 5;
    const struct sfl_admin_group seen[] = {group_of("b", 2, 10), group_of("a", 1, 1),
                                           group_of("b", 3, 20), quota};
    (void)state;
    look(&groups, seen, 4, 1000);
    assert_int_equal(groups.total, 2);
    const struct sfl_admin_group *first = &groups.top[0]->group;
    assert_true(sfl_span_equal(first->name, sfl_span_of_text("b")));
    assert_int_equal(first->callers, 5);
    assert_int_equal(first->calls, 30);
    assert_int_equal(first->retained_bytes, 70);
    assert_int_equal(first->limits.flights, 5);
    assert_true(first->limits.callers == SFL_ADMIN_NONE);
    assert_true(groups.top[1]->group.retained_bytes == SFL_ADMIN_NONE);
    sfl_groups_deinit(&groups);
}

static void a_steady_rate_is_told_and_one_that_ends_fades(void **state)
{
    struct sfl_groups groups = {.total = 0};
    uint64_t calls = 1000;
    (void)state;
    for (uint64_t second = 1; second <= 60; second++) {
        struct sfl_admin_group seen = group_of("a", 1, calls += 50);
        look(&groups, &seen, 1, second * 1000);
        if (second == 1)
            assert_float_equal(groups.top[0]->joins_per_s, 0, 1e-9); // it may be years old
    }
    assert_true(fabs(groups.top[0]->joins_per_s - 50) < 0.5);
    for (uint64_t second = 61; second <= 120; second++) {
        struct sfl_admin_group seen = group_of("a", 1, calls);
        look(&groups, &seen, 1, second * 1000);
    }
    assert_true(groups.top[0]->joins_per_s < 0.5);
    sfl_groups_deinit(&groups);
}

static void a_hundred_groups_are_shown_of_any_number(void **state)
{
    struct sfl_groups groups = {.total = 0};
    (void)state;
    for (unsigned i = 0; i < SFL_GROUPS_SEEN_MAX + 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", i * 7919 % 30011);
        struct sfl_admin_group seen = group_of(name, i, i);
        sfl_groups_offer(&groups, &seen);
    }
    sfl_groups_finish(&groups, 1000);
    assert_int_equal(groups.total, SFL_GROUPS_SEEN_MAX);
    assert_int_equal(groups.top_count, SFL_GROUPS_TOP);
    assert_int_equal(groups.top[0]->group.callers, SFL_GROUPS_SEEN_MAX + 99);
    assert_int_equal(groups.top[99]->group.callers, SFL_GROUPS_SEEN_MAX);
    sfl_groups_deinit(&groups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_look_only_notes_where_counting_begins),
        cmocka_unit_test(a_late_look_is_a_rate_over_the_time_that_passed),
        cmocka_unit_test(only_the_last_hour_stays),
        cmocka_unit_test(percentiles_are_those_of_the_interval),
        cmocka_unit_test(what_is_above_all_bounds_is_the_last_bound),
        cmocka_unit_test(rates_are_over_ten_seconds),
        cmocka_unit_test(the_json_has_360_points_each_at_its_time),
        cmocka_unit_test(the_parts_of_a_group_are_put_together),
        cmocka_unit_test(a_steady_rate_is_told_and_one_that_ends_fades),
        cmocka_unit_test(a_hundred_groups_are_shown_of_any_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
