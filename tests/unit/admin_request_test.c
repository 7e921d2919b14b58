// SPDX-License-Identifier: Apache-2.0
// What is read of a request, and whose connections make room.
#include "admin/connections.h"
#include "admin/json_text.h"
#include "admin/origin.h"
#include "admin/query.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// --- the query ---

static bool set(struct sfl_query *query, enum sfl_query_kind kind, const char *name,
                const char *value)
{
    char problem[SFL_QUERY_PROBLEM_MAX] = "";
    bool is_set = sfl_query_set(query, kind, name, sfl_span_of_text(value), problem);
    assert_true(is_set == (problem[0] == '\0'));
    return is_set;
}

static void a_query_says_what_is_to_be_seen(void **state)
{
    struct sfl_query query;
    (void)state;
    sfl_query_init(&query);
    assert_int_equal(query.flights.limit, 100);
    assert_true(set(&query, SFL_QUERY_EVENTS, "sort", "bytes"));
    assert_true(set(&query, SFL_QUERY_EVENTS, "state", "led,retained"));
    assert_true(set(&query, SFL_QUERY_EVENTS, "limit", "500"));
    assert_true(set(&query, SFL_QUERY_EVENTS, "runs_limit", "0"));
    assert_true(set(&query, SFL_QUERY_EVENTS, "runs_group", "g"));
    assert_int_equal(query.sort, SFL_SORT_BYTES);
    assert_int_equal(query.states, 1U << SFL_ADMIN_LED | 1U << SFL_ADMIN_RETAINED);
    assert_int_equal(query.flights.limit, 500);
    assert_int_equal(query.runs.limit, 0);
    assert_int_equal(query.runs.group.size, 1);
    assert_int_equal(query.flights.group.size, 0);
}

static void an_empty_value_takes_a_filter_away(void **state)
{
    struct sfl_query query;
    (void)state;
    sfl_query_init(&query);
    assert_true(set(&query, SFL_QUERY_RUNS, "outcome", "ok"));
    assert_true(set(&query, SFL_QUERY_RUNS, "outcome", ""));
    assert_string_equal(query.runs_outcome, "");
    assert_true(set(&query, SFL_QUERY_FLIGHTS, "state", ""));
    assert_int_equal(query.states, 0);
}

static void numbers_have_bounds_and_nothing_around_them(void **state)
{
    static const char *const wrong[] = {
        "", "501", "-1", "+1", " 1", "1 ", "1e2", "0x1", "99999999999999999999999999"};
    struct sfl_query query;
    (void)state;
    sfl_query_init(&query);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(set(&query, SFL_QUERY_FLIGHTS, "limit", wrong[i]));
    assert_int_equal(query.flights.limit, 100);
    assert_true(set(&query, SFL_QUERY_FLIGHTS, "offset", "10000"));
    assert_false(set(&query, SFL_QUERY_FLIGHTS, "offset", "10001"));
    assert_true(set(&query, SFL_QUERY_FLIGHTS, "token", "18446744073709551615"));
    assert_true(query.token == UINT64_MAX);
    assert_false(set(&query, SFL_QUERY_FLIGHTS, "token", "18446744073709551616"));
    assert_false(set(&query, SFL_QUERY_FLIGHTS, "token", "-1"));
}

static void each_list_has_its_own_parameters(void **state)
{
    struct sfl_query query;
    (void)state;
    sfl_query_init(&query);
    assert_false(set(&query, SFL_QUERY_FLIGHTS, "outcome", "ok"));
    assert_false(set(&query, SFL_QUERY_FLIGHTS, "runs_limit", "1"));
    assert_false(set(&query, SFL_QUERY_RUNS, "sort", "age"));
    assert_false(set(&query, SFL_QUERY_EVENTS, "runs_sort", "age"));
    assert_false(set(&query, SFL_QUERY_NOTHING, "limit", "1"));
}

// --- where it comes from ---

static void with_the_rights_off_only_this_machines_names_open_it(void **state)
{
    static const char *const good[] = {"127.0.0.1",   "10.0.0.7:9433", "localhost:9433", "[::1]",
                                       "[fe80::1]:1", "LOCALHOST",     "admin.test:9433"};
    static const char *const bad[] = {"evil.example", "localhost.evil.example:9433",
                                      "127.0.0.1.evil", "0x7f000001", "2130706433"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_null(sfl_origin_check_host(good[i], false, "admin.test"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_non_null(sfl_origin_check_host(bad[i], false, "admin.test"));
        assert_null(sfl_origin_check_host(bad[i], true, "admin.test"));
    }
}

static void what_is_no_host_is_refused_in_any_case(void **state)
{
    static const char *const bad[] = {NULL,     "",    ":80",  "a:",     "a:b",      "a:123456",
                                      "a b",    "a/b", "a@b",  "[::1",   "[]",       "::1]",
                                      "[::1]x", "a,b", "a\"b", "[::1]:", "http://a", "a:80:80"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(sfl_origin_check_host(bad[i], true, "localhost"));
}

static void an_origin_is_the_hosts_own(void **state)
{
    static const char *const bad[] = {"null",        "",         "http://",      "http://a:1x",
                                      "http://a:2",  "a:1",      "ftp://a:1",    "http://a:1/",
                                      "https://b:1", "http://a", "http://x@a:1", "x://http://a:1"};
    (void)state;
    assert_null(sfl_origin_check(NULL, "a:1"));
    assert_null(sfl_origin_check("http://a:1", "a:1"));
    assert_null(sfl_origin_check("HTTPS://A:1", "a:1"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(sfl_origin_check(bad[i], "a:1"));
}

// --- texts ---

static void bytes_of_any_kind_are_text_in_json(void **state)
{
    static const char bytes[] = "a\xff\xc3\xa9\xe2\x82"
                                "b\0c";
    struct json_object *text = sfl_json_new_text(sfl_span_of(bytes, sizeof(bytes) - 1));
    (void)state;
    assert_string_equal(json_object_to_json_string(text),
                        "\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
                        "b\\u0000c\"");
    json_object_put(text);
}

static void base64_goes_there_and_back(void **state)
{
    static const uint8_t bytes[] = {0, 255, 16, 131, 16, 81, 135};
    (void)state;
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        struct json_object *text = sfl_json_new_base64(sfl_span_of(bytes, size));
        struct sfl_span back;
        assert_true(sfl_json_read_base64(sfl_span_of_text(json_object_get_string(text)), &back));
        assert_true(sfl_span_equal(back, sfl_span_of(bytes, size)));
        free((void *)back.data);
        json_object_put(text);
    }
}

static void what_is_no_base64_is_refused(void **state)
{
    static const char *const bad[] = {
        "a", "ab", "abc", "a===", "====", "=abc", "ab=c", "ab-_", "ab c"};
    struct sfl_span bytes;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sfl_json_read_base64(sfl_span_of_text(bad[i]), &bytes));
    assert_false(sfl_json_read_base64(sfl_span_of("YWJj\0YWJ", 8), &bytes));
    assert_false(sfl_json_read_base64(sfl_span_of("YW\0=", 4), &bytes));
}

// --- connections ---

static unsigned ended;

static void end(struct sfl_admin_connection *connection)
{
    assert_int_equal(connection->state, SFL_CONNECTION_ENDED);
    ended++;
}

static void add(struct sfl_admin_connections *connections, struct sfl_admin_connection *connection,
                const char *address, uint64_t now_ms)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        sfl_admin_connections_add(connections, connection, (struct sockaddr *)&v4, 3, now_ms);
        return;
    }
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    sfl_admin_connections_add(connections, connection, (struct sockaddr *)&v6, 3, now_ms);
}

static void the_longest_of_an_address_makes_room_for_its_next(void **state)
{
    struct sfl_admin_connections connections;
    struct sfl_admin_connection items[SFL_CONNECTIONS_PER_ADDRESS_MAX + 2];
    (void)state;
    ended = 0;
    sfl_admin_connections_init(&connections, end);
    add(&connections, &items[0], "10.0.0.2", 0);
    for (unsigned i = 0; i < SFL_CONNECTIONS_PER_ADDRESS_MAX; i++)
        add(&connections, &items[i + 1], i % 2 == 0 ? "10.0.0.1" : "::ffff:10.0.0.1", i);
    assert_int_equal(ended, 0);
    sfl_admin_connections_set(&connections, &items[1], SFL_CONNECTION_ANSWERED, 50);
    add(&connections, &items[SFL_CONNECTIONS_PER_ADDRESS_MAX + 1], "10.0.0.1", 100);
    assert_int_equal(ended, 1);
    assert_int_equal(items[0].state, SFL_CONNECTION_ASKING);
    assert_int_equal(items[1].state, SFL_CONNECTION_ENDED); // the others have just come
    assert_int_equal(items[2].state, SFL_CONNECTION_ASKING);
    add(&connections, &items[1], "10.0.0.1", 2000);
    assert_int_equal(items[2].state, SFL_CONNECTION_ENDED); // the longest
    assert_int_equal(items[0].state, SFL_CONNECTION_ASKING);
}

// A flood that has been answered, or is being answered, and comes back to ask at once.
static void a_newcomer_stays_in_a_flood_of_answers(void **state)
{
    struct sfl_admin_connections connections;
    struct sfl_admin_connection flood[SFL_CONNECTIONS_MAX];
    struct sfl_admin_connection probes[SFL_CONNECTIONS_PER_ADDRESS_MAX];
    (void)state;
    ended = 0;
    sfl_admin_connections_init(&connections, end);
    for (unsigned i = 0; i < SFL_CONNECTIONS_MAX; i++) {
        char address[32];
        snprintf(address, sizeof(address), "10.0.0.%u", 1 + i % 8);
        add(&connections, &flood[i], address, 0);
    }
    add(&connections, &probes[0], "10.0.1.1", 100);
    for (unsigned i = 0; i < SFL_CONNECTIONS_MAX; i++) {
        sfl_admin_connections_set(&connections, &flood[i], SFL_CONNECTION_ANSWERED, 200);
        if (i % 2 == 0)
            sfl_admin_connections_set(&connections, &flood[i], SFL_CONNECTION_ASKING, 201);
    }
    for (unsigned i = 1; i < 6; i++) {
        add(&connections, &probes[i], i < 3 ? "10.0.0.1" : "10.0.1.1", 300 + i);
        for (unsigned j = 0; j <= i; j++)
            assert_int_equal(probes[j].state, SFL_CONNECTION_ASKING);
    }
    assert_int_equal(ended, 6);
}

static void an_address_has_its_share_of_streams(void **state)
{
    struct sfl_admin_connections connections;
    struct sfl_admin_connection items[SFL_STREAMS_PER_ADDRESS_MAX + 2];
    (void)state;
    sfl_admin_connections_init(&connections, end);
    for (unsigned i = 0; i <= SFL_STREAMS_PER_ADDRESS_MAX; i++) {
        add(&connections, &items[i], "10.0.0.1", 0);
        assert_int_equal(sfl_admin_connections_may_stream(&connections, &items[i]),
                         i < SFL_STREAMS_PER_ADDRESS_MAX);
        sfl_admin_connections_set(&connections, &items[i], SFL_CONNECTION_STREAM, 0);
    }
    add(&connections, &items[SFL_STREAMS_PER_ADDRESS_MAX + 1], "10.0.0.2", 0);
    assert_true(
        sfl_admin_connections_may_stream(&connections, &items[SFL_STREAMS_PER_ADDRESS_MAX + 1]));
}

static void whoever_comes_gets_in_however_many_there_are(void **state)
{
    struct sfl_admin_connections connections;
    struct sfl_admin_connection items[200];
    (void)state;
    ended = 0;
    sfl_admin_connections_init(&connections, end);
    for (unsigned i = 0; i < 200; i++) {
        char address[32];
        snprintf(address, sizeof(address), "2001:db8:0:%x::%x", i % 40, i);
        add(&connections, &items[i], address, i);
        assert_int_equal(items[i].state, SFL_CONNECTION_ASKING);
        assert_true(connections.count <= SFL_CONNECTIONS_MAX);
    }
    assert_int_equal(ended, 200 - SFL_CONNECTIONS_MAX);
}

static void addresses_of_one_network_are_one(void **state)
{
    struct sfl_admin_connections connections;
    struct sfl_admin_connection items[SFL_CONNECTIONS_PER_ADDRESS_MAX + 1];
    (void)state;
    ended = 0;
    sfl_admin_connections_init(&connections, end);
    for (unsigned i = 0; i <= SFL_CONNECTIONS_PER_ADDRESS_MAX; i++) {
        char address[32];
        snprintf(address, sizeof(address), "2001:db8::%x", i);
        add(&connections, &items[i], address, i);
    }
    assert_int_equal(ended, 1);
}

static void streams_are_counted_apart_and_stay(void **state)
{
    struct sfl_admin_connections connections;
    struct sfl_admin_connection streams[SFL_STREAMS_MAX];
    struct sfl_admin_connection items[100];
    (void)state;
    ended = 0;
    sfl_admin_connections_init(&connections, end);
    for (unsigned i = 0; i < SFL_STREAMS_MAX; i++) {
        add(&connections, &streams[i], "10.0.0.1", 0);
        sfl_admin_connections_set(&connections, &streams[i], SFL_CONNECTION_STREAM, 0);
    }
    for (unsigned i = 0; i < 100; i++)
        add(&connections, &items[i], "10.0.0.1", 0);
    (void)sfl_admin_connections_tick(&connections, 1000000);
    assert_int_equal(connections.streams, SFL_STREAMS_MAX);
    for (unsigned i = 0; i < SFL_STREAMS_MAX; i++) {
        assert_int_equal(streams[i].state, SFL_CONNECTION_STREAM);
        sfl_admin_connections_remove(&connections, &streams[i]);
    }
    assert_int_equal(connections.streams, 0);
    assert_int_equal(ended, 100);
}

static void a_request_has_its_time_and_an_answer_too(void **state)
{
    struct sfl_admin_connections connections;
    struct sfl_admin_connection asks;
    struct sfl_admin_connection reads;
    (void)state;
    ended = 0;
    sfl_admin_connections_init(&connections, end);
    assert_true(sfl_admin_connections_tick(&connections, 0) == UINT64_MAX);
    add(&connections, &asks, "10.0.0.1", 1000);
    add(&connections, &reads, "10.0.0.1", 1000);
    sfl_admin_connections_set(&connections, &reads, SFL_CONNECTION_ANSWERED, 2000);
    assert_int_equal(sfl_admin_connections_tick(&connections, 5999), 1000 + SFL_REQUEST_MS_MAX);
    assert_int_equal(sfl_admin_connections_tick(&connections, 6000), 2000 + SFL_ANSWER_MS_MAX);
    assert_int_equal(asks.state, SFL_CONNECTION_ENDED);
    // The answer has been read, and the next request may come.
    sfl_admin_connections_set(&connections, &reads, SFL_CONNECTION_ASKING, 31000);
    assert_int_equal(sfl_admin_connections_tick(&connections, 32000), 31000 + SFL_REQUEST_MS_MAX);
    // One that was ended stays so, whatever it still does.
    sfl_admin_connections_set(&connections, &asks, SFL_CONNECTION_ANSWERED, 32000);
    assert_int_equal(asks.state, SFL_CONNECTION_ENDED);
    sfl_admin_connections_remove(&connections, &asks);
    assert_int_equal(connections.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_says_what_is_to_be_seen),
        cmocka_unit_test(an_empty_value_takes_a_filter_away),
        cmocka_unit_test(numbers_have_bounds_and_nothing_around_them),
        cmocka_unit_test(each_list_has_its_own_parameters),
        cmocka_unit_test(with_the_rights_off_only_this_machines_names_open_it),
        cmocka_unit_test(what_is_no_host_is_refused_in_any_case),
        cmocka_unit_test(an_origin_is_the_hosts_own),
        cmocka_unit_test(bytes_of_any_kind_are_text_in_json),
        cmocka_unit_test(base64_goes_there_and_back),
        cmocka_unit_test(what_is_no_base64_is_refused),
        cmocka_unit_test(the_longest_of_an_address_makes_room_for_its_next),
        cmocka_unit_test(whoever_comes_gets_in_however_many_there_are),
        cmocka_unit_test(a_newcomer_stays_in_a_flood_of_answers),
        cmocka_unit_test(an_address_has_its_share_of_streams),
        cmocka_unit_test(addresses_of_one_network_are_one),
        cmocka_unit_test(streams_are_counted_apart_and_stay),
        cmocka_unit_test(a_request_has_its_time_and_an_answer_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
