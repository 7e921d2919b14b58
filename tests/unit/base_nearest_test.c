// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"listen", "drain-time", "pumps", NULL, "tls-key", "tls-cert"};

static const char *name_at(size_t place)
{
    return names[place];
}

static void the_nearest_name_is_found_if_it_is_near(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *nearest;
    } cases[] = {
        {"drain-tim", "drain-time"},   // left out
        {"drain-ttime", "drain-time"}, // put in
        {"drain_time", "drain-time"},  // changed
        {"drian-time", "drain-time"},  // swapped
        {"Pumps", "pumps"},
        {"pmups", "pumps"},
        {"tls-kye", "tls-key"},
        {"tls-cer", "tls-cert"},
        {"pump", "pumps"},
        {"puts", NULL}, // two letters of four
        {"help", NULL},
        {"", NULL},
        {"x", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *found = sfl_nearest(cases[i].text, strlen(cases[i].text), name_at, 6);
        if (cases[i].nearest == NULL)
            assert_null(found);
        else
            assert_string_equal(found == NULL ? "nothing" : found, cases[i].nearest);
    }
}

static void a_long_text_is_nobodys_name(void **state)
{
    (void)state;
    char text[200];
    memset(text, 'p', sizeof(text));
    assert_null(sfl_nearest(text, sizeof(text), name_at, 6));
    assert_null(sfl_nearest(text, 64, name_at, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_name_is_found_if_it_is_near),
        cmocka_unit_test(a_long_text_is_nobodys_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
