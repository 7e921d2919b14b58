// SPDX-License-Identifier: Apache-2.0
// Every language must pick the same server, so the numbers here are those of an implementation of
// its own, not of the code that is tested.
#include "src/rendezvous.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const addresses[] = {"10.0.0.1:7433", "10.0.0.2:7433", "10.0.0.3:7433"};

static void order_of(const char *key, uint8_t *order_out)
{
    struct sfl_span spans[3];
    for (size_t i = 0; i < 3; i++)
        spans[i] = sfl_span_of_text(addresses[i]);
    sfl_rendezvous_order(spans, 3, sfl_span_of_text(""), sfl_span_of_text(key), order_out);
}

static void scores_are_those_of_every_language(void **state)
{
    (void)state;
    assert_true(sfl_rendezvous_score(sfl_span_of_text("10.0.0.1:7433"), sfl_span_of_text("default"),
                                     sfl_span_of_text("user_123")) == 0xf8f499640b554129u);
    assert_true(sfl_rendezvous_score(sfl_span_of_text("unix:/run/singleflightd.sock"),
                                     sfl_span_of_text("reports"),
                                     sfl_span_of("\x00\xff", 2)) == 0x6225ed5070bdc94fu);
}

static void the_empty_group_is_the_default_one(void **state)
{
    (void)state;
    struct sfl_span key = sfl_span_of_text("k");
    struct sfl_span address = sfl_span_of_text("a:1");
    assert_true(sfl_rendezvous_score(address, sfl_span_of(NULL, 0), key) ==
                sfl_rendezvous_score(address, sfl_span_of_text("default"), key));
}

static void orders_are_those_of_every_language(void **state)
{
    (void)state;
    static const uint8_t expected[5][3] = {{0, 2, 1}, {2, 1, 0}, {0, 1, 2}, {1, 0, 2}, {2, 1, 0}};
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof(key), "user_%d", i + 1);
        uint8_t order[SFL_SERVERS_MAX];
        order_of(key, order);
        assert_memory_equal(order, expected[i], 3);
    }
}

static void equal_addresses_stay_in_their_order(void **state)
{
    (void)state;
    struct sfl_span same[2] = {sfl_span_of_text("a:1"), sfl_span_of_text("a:1")};
    uint8_t order[SFL_SERVERS_MAX];
    sfl_rendezvous_order(same, 2, sfl_span_of_text("g"), sfl_span_of_text("k"), order);
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], 1);
}

static void keys_spread_over_all_servers(void **state)
{
    (void)state;
    unsigned homes[3] = {0};
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key-%d", i);
        uint8_t order[SFL_SERVERS_MAX];
        order_of(key, order);
        homes[order[0]]++;
    }
    for (size_t i = 0; i < 3; i++)
        assert_in_range(homes[i], 900, 1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_every_language),
        cmocka_unit_test(the_empty_group_is_the_default_one),
        cmocka_unit_test(orders_are_those_of_every_language),
        cmocka_unit_test(equal_addresses_stay_in_their_order),
        cmocka_unit_test(keys_spread_over_all_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
