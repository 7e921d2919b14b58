// SPDX-License-Identifier: Apache-2.0
#include "admin/connections.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { MANY = 200 };

static struct sfl_admin_connections connections;
static struct sfl_admin_connection all[MANY];
static unsigned added;

static void note_end(struct sfl_admin_connection *connection)
{
    (void)connection;
}

static int begin(void **state)
{
    (void)state;
    sfl_admin_connections_init(&connections, note_end);
    added = 0;
    return 0;
}

static struct sfl_admin_connection *come(const char *from, uint64_t now_ms)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, from, &address.sin_addr), 1);
    struct sfl_admin_connection *connection = &all[added++];
    sfl_admin_connections_add(&connections, connection, (struct sockaddr *)&address, -1, now_ms);
    return connection;
}

static void set(struct sfl_admin_connection *connection, enum sfl_admin_connection_state state,
                uint64_t now_ms)
{
    sfl_admin_connections_set(&connections, connection, state, now_ms);
}

// As many as there may be, from addresses of their own, `per_address` each.
static void fill(unsigned per_address, enum sfl_admin_connection_state state)
{
    for (unsigned i = 0; i < SFL_CONNECTIONS_MAX; i++) {
        char from[32];
        snprintf(from, sizeof(from), "10.0.0.%u", 1 + i / per_address);
        set(come(from, 0), state, 0);
    }
}

static bool is_open(const struct sfl_admin_connection *connection)
{
    return connection->state != SFL_CONNECTION_ENDED;
}

static void a_newcomer_outlives_those_that_do_not_read(void **state)
{
    (void)state;
    fill(16, SFL_CONNECTION_ANSWERED);
    struct sfl_admin_connection *probe = come("10.9.9.9", 100);
    for (unsigned i = 0; i < 40; i++)
        set(come("10.0.0.1", 200), SFL_CONNECTION_ANSWERED, 200);
    assert_true(is_open(probe));
}

static void a_newcomer_outlives_those_of_its_own_address(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SFL_CONNECTIONS_PER_ADDRESS_MAX; i++)
        set(come("127.0.0.1", 0), SFL_CONNECTION_ANSWERED, 0);
    struct sfl_admin_connection *probe = come("127.0.0.1", 10);
    for (unsigned i = 0; i < 10; i++)
        set(come("127.0.0.1", 20), SFL_CONNECTION_ANSWERED, 20);
    assert_true(is_open(probe));
}

static void the_silent_go_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SFL_CONNECTIONS_PER_ADDRESS_MAX; i++)
        set(come("10.0.0.1", 0), i == 5 ? SFL_CONNECTION_ASKING : SFL_CONNECTION_ANSWERED, 0);
    come("10.0.0.1", SFL_NEWCOMER_MS);
    assert_false(is_open(&all[5]));
    assert_true(is_open(&all[0]));
}

static void when_all_have_only_just_come_the_oldest_goes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SFL_CONNECTIONS_PER_ADDRESS_MAX; i++)
        come("10.0.0.1", i);
    come("10.0.0.1", 50);
    assert_false(is_open(&all[0]));
    assert_true(is_open(&all[1]));
}

static void when_it_is_full_the_busiest_address_pays(void **state)
{
    (void)state;
    struct sfl_admin_connection *lonely = come("10.7.7.7", 0);
    for (unsigned i = 0; i + 1 < SFL_CONNECTIONS_MAX; i++) {
        char from[32];
        snprintf(from, sizeof(from), "10.0.0.%u", 1 + i / 12);
        come(from, 10);
    }
    come("10.8.8.8", 5000);
    assert_true(is_open(lonely));
    assert_int_equal(connections.count, SFL_CONNECTIONS_MAX);
}

static void an_address_has_a_part_of_the_streams(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SFL_STREAMS_PER_ADDRESS_MAX; i++) {
        struct sfl_admin_connection *page = come("10.0.0.1", 0);
        assert_true(sfl_admin_connections_may_stream(&connections, page));
        set(page, SFL_CONNECTION_STREAM, 0);
    }
    assert_false(sfl_admin_connections_may_stream(&connections, come("10.0.0.1", 0)));
    assert_true(sfl_admin_connections_may_stream(&connections, come("10.0.0.2", 0)));
}

static void loopback_may_have_all_of_them(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SFL_STREAMS_MAX; i++) {
        struct sfl_admin_connection *page = come("127.0.0.1", 0);
        assert_true(sfl_admin_connections_may_stream(&connections, page));
        set(page, SFL_CONNECTION_STREAM, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_newcomer_outlives_those_that_do_not_read, begin),
        cmocka_unit_test_setup(a_newcomer_outlives_those_of_its_own_address, begin),
        cmocka_unit_test_setup(the_silent_go_first, begin),
        cmocka_unit_test_setup(when_all_have_only_just_come_the_oldest_goes, begin),
        cmocka_unit_test_setup(when_it_is_full_the_busiest_address_pays, begin),
        cmocka_unit_test_setup(an_address_has_a_part_of_the_streams, begin),
        cmocka_unit_test_setup(loopback_may_have_all_of_them, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
