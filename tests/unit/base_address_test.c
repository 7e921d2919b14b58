// SPDX-License-Identifier: Apache-2.0
// What HOST:PORT may be, for the settings and for whoever listens.
#include "base/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void splits(const char *text, const char *written, const char *host, const char *port)
{
    struct sfl_address address;
    assert_true(sfl_address_split(text, &address));
    assert_string_equal(address.host_as_written, written);
    assert_string_equal(address.host, host);
    assert_string_equal(address.port, port);
}

static void refuses(const char *text)
{
    struct sfl_address address, before;
    memset(&address, 0x5a, sizeof(address));
    memcpy(&before, &address, sizeof(address));
    if (sfl_address_split(text, &address))
        fail_msg("took \"%s\"", text);
    assert_memory_equal(&address, &before, sizeof(address));
}

static void names_and_addresses_are_taken_apart(void **state)
{
    (void)state;
    splits("0.0.0.0:7433", "0.0.0.0", "0.0.0.0", "7433");
    splits("flights.example:0", "flights.example", "flights.example", "0");
    splits("[::1]:65535", "[::1]", "::1", "65535");
    splits("[fe80::1%eth0]:80", "[fe80::1%eth0]", "fe80::1%eth0", "80");
}

static void other_forms_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",         "none",    "host",        ":7433",       "host:",    "host:+1", "host:-1",
        "host:1x",  "host: 1", "host:65536",  "host:000000", "::1:7433", "[]:7433", "[::1:7433",
        "::1]:743", "[::1]",   "[[::1]]:743", "a b:7433",    "a/b:7433", "[a/b]:1", "[a b]:1",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        refuses(wrong[i]);
}

static void the_longest_host_fits(void **state)
{
    (void)state;
    char text[300];
    struct sfl_address address;
    for (size_t brackets = 0; brackets <= 2; brackets += 2) {
        memset(text, 'a', sizeof(text));
        if (brackets > 0) {
            text[0] = '[';
            text[256] = ']';
        }
        strcpy(text + 255 + brackets, ":7433");
        assert_true(sfl_address_split(text, &address));
        assert_int_equal(strlen(address.host), 255);
    }
    memset(text, 'a', sizeof(text));
    strcpy(text + 256, ":7433");
    refuses(text);
}

static void loopback_is_what_no_other_machine_reaches(void **state)
{
    (void)state;
    static const char *const loopback[] = {"127.0.0.1:1", "127.255.0.9:1", "[::1]:1",
                                           "localhost:1", "LOCALHOST:1",   "[::ffff:127.0.0.1]:1"};
    static const char *const others[] = {"0.0.0.0:1",           "[::]:1",
                                         "128.0.0.1:1",         "[::2]:1",
                                         "localhost.example:1", "127.0.0.1.example:1",
                                         "[::ffff:10.0.0.1]:1", "127.1:1"};
    struct sfl_address address;
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
        assert_true(sfl_address_split(loopback[i], &address));
        assert_true(sfl_address_is_loopback(&address));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_true(sfl_address_split(others[i], &address));
        assert_false(sfl_address_is_loopback(&address));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_addresses_are_taken_apart),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(the_longest_host_fits),
        cmocka_unit_test(loopback_is_what_no_other_machine_reaches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
