// SPDX-License-Identifier: Apache-2.0
// How connections are counted by peer address.
#include "sockets/addresses_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>

static struct sockaddr_storage peer_of(const char *text)
{
    struct sockaddr_storage peer = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&peer;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&peer;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
        peer.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
        peer.ss_family = AF_INET6;
    else
        peer.ss_family = AF_UNIX;
    return peer;
}

// Adds a connection of `text`; at most two are allowed.
static enum sfl_status add(struct sfl_addresses *addresses, const char *text,
                           struct sfl_address_count **count_out)
{
    struct sockaddr_storage peer = peer_of(text);
    return sfl_addresses_add(addresses, &peer, 2, count_out);
}

static int setup(void **state)
{
    static struct sfl_addresses addresses;
    *state = &addresses;
    return sfl_addresses_init(&addresses, 10) == SFL_OK ? 0 : -1;
}

static int teardown(void **state)
{
    sfl_addresses_deinit(*state);
    return 0;
}

static void one_address_has_so_many_and_others_have_theirs(void **state)
{
    struct sfl_address_count *a, *b, *other, *none = NULL;
    assert_int_equal(add(*state, "192.0.2.1", &a), SFL_OK);
    assert_int_equal(add(*state, "192.0.2.1", &b), SFL_OK);
    assert_int_equal(add(*state, "192.0.2.1", &none), SFL_RESOURCE_EXHAUSTED);
    assert_null(none);
    assert_int_equal(add(*state, "192.0.2.2", &other), SFL_OK);
    sfl_addresses_remove(*state, a);
    assert_int_equal(add(*state, "192.0.2.1", &a), SFL_OK);
    sfl_addresses_remove(*state, a);
    sfl_addresses_remove(*state, b);
    sfl_addresses_remove(*state, other);
}

static void an_ipv6_network_counts_as_one(void **state)
{
    struct sfl_address_count *a, *b, *c;
    assert_int_equal(add(*state, "2001:db8:1:2::1", &a), SFL_OK);
    assert_int_equal(add(*state, "2001:db8:1:2:ffff::9", &b), SFL_OK);
    assert_int_equal(add(*state, "2001:db8:1:2::3", &c), SFL_RESOURCE_EXHAUSTED);
    assert_int_equal(add(*state, "2001:db8:1:3::1", &c), SFL_OK);
    sfl_addresses_remove(*state, a);
    sfl_addresses_remove(*state, b);
    sfl_addresses_remove(*state, c);
}

static void an_ipv4_address_is_the_same_inside_an_ipv6_one(void **state)
{
    struct sfl_address_count *a, *b, *c;
    assert_int_equal(add(*state, "192.0.2.1", &a), SFL_OK);
    assert_int_equal(add(*state, "::ffff:192.0.2.1", &b), SFL_OK);
    assert_int_equal(add(*state, "::ffff:192.0.2.1", &c), SFL_RESOURCE_EXHAUSTED);
    assert_int_equal(add(*state, "::ffff:192.0.2.2", &c), SFL_OK);
    sfl_addresses_remove(*state, a);
    sfl_addresses_remove(*state, b);
    sfl_addresses_remove(*state, c);
}

static void a_unix_socket_has_no_address(void **state)
{
    for (int i = 0; i < 5; i++) {
        struct sfl_address_count *count;
        assert_int_equal(add(*state, "unix", &count), SFL_OK);
        assert_null(count);
        sfl_addresses_remove(*state, count);
    }
}

static void many_addresses_come_and_go(void **state)
{
    enum { MANY = 2000 };
    struct sfl_address_count *counts[MANY];
    for (int i = 0; i < MANY; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
        assert_int_equal(add(*state, text, &counts[i]), SFL_OK);
    }
    for (int i = 0; i < MANY; i++)
        sfl_addresses_remove(*state, counts[i]);
    struct sfl_addresses *addresses = *state;
    for (size_t i = 0; i < addresses->bucket_count; i++)
        assert_null(addresses->buckets[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        STORY(one_address_has_so_many_and_others_have_theirs),
        STORY(an_ipv6_network_counts_as_one),
        STORY(an_ipv4_address_is_the_same_inside_an_ipv6_one),
        STORY(a_unix_socket_has_no_address),
        STORY(many_addresses_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
