// SPDX-License-Identifier: Apache-2.0
#include "src/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void append(struct sfl_value **value, const char *text)
{
    assert_int_equal(sfl_value_append(value, sfl_span_of_text(text)), SFL_OK);
}

static void an_empty_value_is_an_empty_text(void **state)
{
    (void)state;
    struct sfl_value *value = NULL;
    assert_string_equal((const char *)sfl_value_span(value).data, "");
    assert_string_equal((const char *)sfl_value_span(NULL).data, "");
    sfl_value_free(value);
}

static void pieces_become_one_text_with_a_nul_behind(void **state)
{
    (void)state;
    struct sfl_value *value = NULL;
    append(&value, "one ");
    append(&value, "");
    append(&value, "two");
    assert_int_equal(sfl_value_span(value).size, 7);
    assert_string_equal((const char *)sfl_value_span(value).data, "one two");
    sfl_value_free(value);
}

static void what_is_dropped_in_front_leaves_the_rest(void **state)
{
    (void)state;
    struct sfl_value *value = NULL;
    append(&value, "0123456789");
    sfl_value_drop(value, 4);
    assert_string_equal((const char *)sfl_value_span(value).data, "456789");
    sfl_value_drop(value, 6);
    append(&value, "x");
    assert_string_equal((const char *)sfl_value_span(value).data, "x");
    sfl_value_free(value);
}

static void a_size_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct sfl_value *value = NULL;
    append(&value, "x");
    assert_int_equal(sfl_value_append(&value, sfl_span_of("", SIZE_MAX - 1)), SFL_NO_MEMORY);
    assert_string_equal((const char *)sfl_value_span(value).data, "x");
    sfl_value_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_value_is_an_empty_text),
        cmocka_unit_test(pieces_become_one_text_with_a_nul_behind),
        cmocka_unit_test(what_is_dropped_in_front_leaves_the_rest),
        cmocka_unit_test(a_size_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
