// SPDX-License-Identifier: Apache-2.0
#include "src/constants.h"
#include "src/outcome.h"

#include "src/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sfl_failure failure_with(const char *message)
{
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.message = message;
    struct sfl_failure failure = {0};
    assert_int_equal(sfl_failure_read(&error, &failure), SFL_OK);
    return failure;
}

static void bytes_that_are_no_utf8_become_question_marks(void **state)
{
    (void)state;
    struct sfl_failure failure = failure_with("caf\xc3\xa9 \xff\xfe \xe2\x82");
    assert_string_equal(failure.message, "caf\xc3\xa9 ?? ??");
    sfl_failure_deinit(&failure);
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    char *text = malloc(SFL_FAILURE_TEXT_BYTES_MAX + 3);
    memset(text, 'x', SFL_FAILURE_TEXT_BYTES_MAX - 1);
    memcpy(text + SFL_FAILURE_TEXT_BYTES_MAX - 1, "\xc3\xa9!", 4);
    struct sfl_failure failure = failure_with(text);
    assert_int_equal(strlen(failure.message), SFL_FAILURE_TEXT_BYTES_MAX - 1);
    sfl_failure_deinit(&failure);
    free(text);
}

static void details_that_are_too_large_are_refused(void **state)
{
    (void)state;
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.details = "";
    error.details_bytes = SFL_DETAILS_BYTES_MAX + 1;
    struct sfl_failure failure = {0};
    assert_int_equal(sfl_failure_read(&error, &failure), SFL_INVALID_ARGUMENT);
}

static void results_share_one_outcome_and_outlive_it(void **state)
{
    (void)state;
    struct sfl_value *value = NULL;
    assert_int_equal(sfl_value_append(&value, sfl_span_of_text("half")), SFL_OK);
    struct sfl_failure failure = failure_with("disk full");
    failure.code = 28;
    struct sfl_outcome *outcome = sfl_outcome_create(SINGLEFLIGHT_OUTCOME_ERROR, &failure, value);
    const struct singleflight_result facts = {.led = true, .callers = 3, .token = 9};
    sfl_outcome_share(outcome, 2);
    struct singleflight_result *a = sfl_result_of_outcome(outcome, &facts);
    struct singleflight_result *b = sfl_result_of_outcome(outcome, &facts);
    singleflight_result_free(a);
    assert_int_equal(b->status, SINGLEFLIGHT_OK);
    assert_int_equal(b->outcome, SINGLEFLIGHT_OUTCOME_ERROR);
    assert_string_equal((const char *)b->value, "half");
    assert_string_equal(b->message, "disk full");
    assert_string_equal(b->type, "");
    assert_int_equal(b->code, 28);
    assert_int_equal(b->callers, 3);
    assert_int_equal(b->token, 9);
    assert_true(b->led);
    singleflight_result_free(b);
}

static void an_outcome_that_nobody_waits_for_is_freed(void **state)
{
    (void)state;
    struct sfl_failure failure = failure_with("too late");
    sfl_outcome_share(sfl_outcome_create(SINGLEFLIGHT_OUTCOME_ERROR, &failure, NULL), 0);
    sfl_outcome_share(NULL, 0);
    assert_null(failure.message); // it was taken; the sanitizer of leaks sees the rest
}

static void without_memory_there_is_a_result_that_says_so(void **state)
{
    (void)state;
    const struct singleflight_result facts = {0};
    struct singleflight_result *result = sfl_result_of_outcome(NULL, &facts);
    assert_int_equal(result->status, SINGLEFLIGHT_RESOURCE_EXHAUSTED);
    assert_non_null(result->value);
    singleflight_result_free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_that_are_no_utf8_become_question_marks),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(details_that_are_too_large_are_refused),
        cmocka_unit_test(results_share_one_outcome_and_outlive_it),
        cmocka_unit_test(an_outcome_that_nobody_waits_for_is_freed),
        cmocka_unit_test(without_memory_there_is_a_result_that_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
