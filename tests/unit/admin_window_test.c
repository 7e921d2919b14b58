// SPDX-License-Identifier: Apache-2.0
#include "admin/json.h"
#include "admin/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sfl_query asked(const char *name, const char *value)
{
    struct sfl_query query;
    char problem[SFL_QUERY_PROBLEM_MAX];
    sfl_query_init(&query);
    if (name != NULL)
        assert_true(
            sfl_query_set(&query, SFL_QUERY_EVENTS, name, sfl_span_of_text(value), problem));
    return query;
}

static void ask(struct sfl_query *query, const char *name, const char *value)
{
    char problem[SFL_QUERY_PROBLEM_MAX];
    assert_true(sfl_query_set(query, SFL_QUERY_EVENTS, name, sfl_span_of_text(value), problem));
}

static struct sfl_admin_flight flight_of(const char *key, uint64_t callers)
{
    return (struct sfl_admin_flight){
        .group = sfl_span_of_text("group"),
        .key = sfl_span_of_text(key),
        .leader = sfl_span_of_text("leader"),
        .state = SFL_ADMIN_LED,
        .callers = callers,
        .lease_ms = SFL_ADMIN_NONE,
        .expires_ms = SFL_ADMIN_NONE,
        .token = callers + 1,
    };
}

static void offer(struct sfl_flights_window *window, const char *key, uint64_t callers)
{
    // The window has its own copy, or this is seen.
    char bytes[64];
    snprintf(bytes, sizeof(bytes), "%s", key);
    struct sfl_admin_flight flight = flight_of(bytes, callers);
    sfl_flights_window_offer(window, &flight, false);
    memset(bytes, 'x', sizeof(bytes));
}

static void assert_keys(const struct sfl_flights_window *window, const char *wanted)
{
    char keys[256] = "";
    for (size_t i = window->query->flights.offset; i < window->count; i++) {
        struct sfl_span key = window->rows[i]->flight.key;
        size_t used = strlen(keys);
        snprintf(keys + used, sizeof(keys) - used, "%.*s ", (int)key.size, (const char *)key.data);
    }
    assert_string_equal(keys, wanted);
}

static void a_window_keeps_the_first_rows_of_any_number(void **state)
{
    struct sfl_query query = asked("limit", "3");
    struct sfl_flights_window window;
    (void)state;
    ask(&query, "offset", "2");
    sfl_flights_window_init(&window, &query, NULL);
    for (unsigned i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%u", i * 4001 % 5000);
        offer(&window, key, i * 4001 % 5000);
        assert_true(window.count <= 5);
    }
    sfl_flights_window_finish(&window);
    assert_int_equal(window.total, 5000);
    assert_keys(&window, "4997 4996 4995 ");
    sfl_flights_window_deinit(&window);
}

static void equal_rows_keep_their_order_from_look_to_look(void **state)
{
    static const char *const orders[] = {"abcd", "dcba", "badc"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct sfl_query query = asked("limit", "3");
        struct sfl_flights_window window;
        sfl_flights_window_init(&window, &query, NULL);
        for (const char *at = orders[i]; *at != '\0'; at++) {
            const char key[] = {*at, '\0'};
            offer(&window, key, 7);
        }
        sfl_flights_window_finish(&window);
        assert_keys(&window, "a b c ");
        sfl_flights_window_deinit(&window);
    }
}

static void a_window_of_no_rows_counts_all_the_same(void **state)
{
    struct sfl_query query = asked("limit", "0");
    struct sfl_flights_window window;
    (void)state;
    sfl_flights_window_init(&window, &query, NULL);
    offer(&window, "a", 1);
    offer(&window, "b", 1);
    sfl_flights_window_finish(&window);
    assert_int_equal(window.total, 2);
    assert_keys(&window, "");
    sfl_flights_window_deinit(&window);
}

static void a_window_keeps_no_more_bytes_than_it_may(void **state)
{
    struct sfl_query query = asked("offset", "5000");
    struct sfl_flights_window window;
    char *key = calloc(1, 4097);
    (void)state;
    memset(key, 'k', 4096);
    sfl_flights_window_init(&window, &query, NULL);
    for (uint64_t i = 0; i < 9000; i++) {
        struct sfl_admin_flight flight = flight_of(key, i);
        sfl_flights_window_offer(&window, &flight, false);
        assert_true(window.bytes <= SFL_WINDOW_BYTES_MAX);
    }
    sfl_flights_window_finish(&window);
    assert_int_equal(window.total, 9000);
    assert_int_equal(window.rows[0]->flight.callers, 8999);
    sfl_flights_window_deinit(&window);
    free(key);
}

static void all_windows_together_keep_no_more_than_they_may(void **state)
{
    enum { WINDOWS = 8 };
    struct sfl_query query = asked("offset", "5000");
    struct sfl_flights_window windows[WINDOWS];
    size_t kept = 0;
    char key[SFL_WINDOW_KEY_MAX + 1];
    (void)state;
    memset(key, 'k', sizeof(key));
    key[sizeof(key) - 1] = '\0';
    ask(&query, "limit", "500");
    for (size_t i = 0; i < WINDOWS; i++) {
        sfl_flights_window_init(&windows[i], &query, &kept);
        for (uint64_t j = 0; j < 9000; j++) {
            struct sfl_admin_flight flight = flight_of(key, j);
            sfl_flights_window_offer(&windows[i], &flight, false);
        }
        assert_true(kept <= SFL_WINDOWS_BYTES_MAX);
        assert_int_equal(windows[i].total, 9000);
    }
    assert_true(kept > SFL_WINDOWS_BYTES_MAX - 10000);
    for (size_t i = 0; i < WINDOWS; i++)
        sfl_flights_window_deinit(&windows[i]);
    assert_int_equal(kept, 0);
}

// One that is cut could be another key: it says so, offers no action, and is had whole by its
// token.
static void a_long_key_is_cut_and_had_whole_by_its_token(void **state)
{
    struct sfl_query query = asked("search", "end");
    struct sfl_flights_window window;
    struct sfl_viewer viewer = {.sees_all = true, .acts = true};
    char key[5000];
    (void)state;
    memset(key, '\xff', sizeof(key));
    memcpy(key + sizeof(key) - 4, "end", 4);
    struct sfl_admin_flight flight = flight_of(key, 76);
    sfl_flights_window_init(&window, &query, NULL);
    sfl_flights_window_offer(&window, &flight, false);
    assert_int_equal(window.total, 1); // found by what is not shown
    char *json = sfl_json_flights(&window, &viewer);
    assert_non_null(strstr(json, "\"key_cut\":true,\"key_bytes\":4999"));
    assert_non_null(strstr(json, "\"can_forget\":false,\"can_end\":false"));
    assert_null(strstr(json, "key_base64"));
    assert_true(strlen(json) < 4000);
    free(json);
    sfl_flights_window_deinit(&window);

    ask(&query, "token", "77");
    sfl_flights_window_init(&window, &query, NULL);
    sfl_flights_window_offer(&window, &flight, true);
    flight.token = 78;
    sfl_flights_window_offer(&window, &flight, false);
    assert_int_equal(window.total, 0); // hidden, and another one
    flight.token = 77;
    sfl_flights_window_offer(&window, &flight, false);
    json = sfl_json_flights(&window, &viewer);
    assert_null(strstr(json, "key_cut"));
    assert_null(strstr(json, "can_forget"));
    assert_non_null(strstr(json, "key_base64"));
    free(json);
    sfl_flights_window_deinit(&window);
}

static void a_search_looks_behind_zero_bytes(void **state)
{
    struct sfl_query query;
    struct sfl_flights_window window;
    struct sfl_admin_flight flight = flight_of("", 1);
    char problem[SFL_QUERY_PROBLEM_MAX];
    (void)state;
    sfl_query_init(&query);
    assert_true(
        sfl_query_set(&query, SFL_QUERY_FLIGHTS, "search", sfl_span_of("a\0B", 3), problem));
    sfl_flights_window_init(&window, &query, NULL);
    flight.key = sfl_span_of("xa\0c", 4);
    sfl_flights_window_offer(&window, &flight, false);
    assert_int_equal(window.total, 0);
    flight.key = sfl_span_of("xA\0b", 4);
    sfl_flights_window_offer(&window, &flight, false);
    assert_int_equal(window.total, 1);
    sfl_flights_window_deinit(&window);
}

static void offer_group(struct sfl_groups *groups, unsigned number, uint64_t flights_max)
{
    char name[16];
    snprintf(name, sizeof(name), "g%05u", number);
    struct sfl_admin_group group = {.name = sfl_span_of_text(name), .callers = 1};
#define SET(name) group.limits.name = SFL_ADMIN_NONE;
    SFL_ADMIN_GROUP_LIMITS_LIST(SET)
#undef SET
    group.limits.flights = flights_max;
    sfl_groups_offer(groups, &group);
}

// Each of four shards has a part of each group, and quotas are told at the end.
static void parts_of_groups_do_not_crowd_others_out(void **state)
{
    enum { GROUPS = 9000, SHARDS = 4 };
    struct sfl_groups groups = {.total = 0};
    (void)state;
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        for (unsigned i = 0; i < GROUPS; i++)
            offer_group(&groups, i, SFL_ADMIN_NONE);
    }
    sfl_groups_finish(&groups, 1000);
    assert_int_equal(groups.total, GROUPS);
    assert_int_equal(groups.top[0]->group.callers, SHARDS);
    for (unsigned i = 0; i < 3 * SFL_GROUPS_SEEN_MAX; i++)
        offer_group(&groups, i, SFL_ADMIN_NONE);
    offer_group(&groups, 99999, 7);
    offer_group(&groups, 99999, SFL_ADMIN_NONE);
    sfl_groups_finish(&groups, 2000);
    assert_int_equal(groups.total, SFL_GROUPS_SEEN_MAX);
    assert_int_equal(groups.top[0]->group.callers, 2);
    assert_int_equal(groups.top[0]->group.limits.flights, 7);
    sfl_groups_deinit(&groups);
}

static void what_is_hidden_is_not_found_and_tells_no_order(void **state)
{
    struct sfl_query query = asked("search", "SECRET");
    struct sfl_flights_window window;
    struct sfl_admin_flight flight = flight_of("my secret key", 1);
    (void)state;
    sfl_flights_window_init(&window, &query, NULL);
    sfl_flights_window_offer(&window, &flight, true);
    assert_int_equal(window.total, 0);
    sfl_flights_window_offer(&window, &flight, false);
    assert_int_equal(window.total, 1);
    sfl_flights_window_deinit(&window);

    query = asked("sort", "key");
    sfl_flights_window_init(&window, &query, NULL);
    flight = flight_of("b", 1);
    sfl_flights_window_offer(&window, &flight, true);
    flight = flight_of("a", 2);
    sfl_flights_window_offer(&window, &flight, true);
    sfl_flights_window_finish(&window);
    assert_int_equal(window.rows[0]->flight.key.size, 0);
    assert_int_equal(window.rows[0]->flight.callers, 2); // by their tokens, not by their keys
    struct sfl_viewer viewer = {.identity = NULL};
    char *json = sfl_json_flights(&window, &viewer);
    assert_non_null(strstr(json, "\"key\":null,"));
    assert_non_null(strstr(json, "\"leader\":null,"));
    assert_non_null(strstr(json, "\"token\":null"));
    free(json);
    sfl_flights_window_deinit(&window);
}

static void time_alone_is_no_news(void **state)
{
    struct sfl_query query = asked(NULL, NULL);
    struct sfl_flights_window window;
    uint64_t marks[3];
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        struct sfl_admin_flight flight = flight_of("key", 1);
        flight.age_ms = 100 + i * 1000;
        flight.lease_ms = i < 2 ? 9000 - i * 1000 : 9000; // it is renewed
        sfl_flights_window_init(&window, &query, NULL);
        sfl_flights_window_offer(&window, &flight, false);
        sfl_flights_window_finish(&window);
        marks[i] = sfl_flights_window_mark(&window, 1000500 + i * 1000);
        sfl_flights_window_deinit(&window);
    }
    assert_true(marks[0] == marks[1]);
    assert_true(marks[1] != marks[2]);
}

static struct sfl_admin_run run_of(const char *key, const char *outcome, uint64_t ended_ms)
{
    return (struct sfl_admin_run){
        .group = sfl_span_of_text("group"),
        .key = sfl_span_of_text(key),
        .detail = sfl_span_of_text("detail"),
        .outcome = outcome,
        .began_ms = 1000,
        .ended_ms = ended_ms,
        .token = ended_ms,
    };
}

static void runs_are_shown_from_the_offset_on(void **state)
{
    struct sfl_query query = asked("runs_limit", "2");
    struct sfl_runs_window window;
    (void)state;
    ask(&query, "runs_offset", "1");
    ask(&query, "runs_outcome", "ok");
    sfl_runs_window_init(&window, &query, NULL);
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) {
        struct sfl_admin_run run = run_of(keys[i], i == 1 ? "error" : "ok", 5000 - i);
        sfl_runs_window_offer(&window, &run, i == 3);
    }
    assert_int_equal(window.total, 4);
    char *json = sfl_json_runs(&window);
    assert_string_equal(
        json, "{\"total\":4,\"rows\":[{\"group\":\"group\",\"key\":\"c\",\"leader\":\"\","
              "\"began_ms\":1000,\"ended_ms\":4998,\"took_ms\":3998,\"outcome\":\"ok\","
              "\"detail\":\"detail\",\"callers\":0,\"attempt\":0,\"bytes\":0,\"token\":\"4998\"},"
              "{\"group\":\"group\",\"key\":null,\"leader\":null,\"began_ms\":1000,"
              "\"ended_ms\":4997,\"took_ms\":3997,\"outcome\":\"ok\",\"detail\":null,"
              "\"callers\":0,\"attempt\":0,\"bytes\":0,\"token\":null}]}");
    free(json);
    uint64_t mark = sfl_runs_window_mark(&window);
    sfl_runs_window_deinit(&window);
    assert_true(sfl_runs_window_mark(&window) != mark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_keeps_the_first_rows_of_any_number),
        cmocka_unit_test(equal_rows_keep_their_order_from_look_to_look),
        cmocka_unit_test(a_window_of_no_rows_counts_all_the_same),
        cmocka_unit_test(a_window_keeps_no_more_bytes_than_it_may),
        cmocka_unit_test(all_windows_together_keep_no_more_than_they_may),
        cmocka_unit_test(a_long_key_is_cut_and_had_whole_by_its_token),
        cmocka_unit_test(a_search_looks_behind_zero_bytes),
        cmocka_unit_test(parts_of_groups_do_not_crowd_others_out),
        cmocka_unit_test(what_is_hidden_is_not_found_and_tells_no_order),
        cmocka_unit_test(time_alone_is_no_news),
        cmocka_unit_test(runs_are_shown_from_the_offset_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
