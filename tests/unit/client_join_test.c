// SPDX-License-Identifier: Apache-2.0
// What a Do may ask for, and which ones are merged.
#include "src/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct sfl_join_defaults defaults = {
    .caller = "me@here:1", .connect_timeout_ms = 5000, .fail_open = false};

static struct singleflight_do_options options_of(const char *key)
{
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.key = key;
    options.key_bytes = strlen(key);
    return options;
}

// To be freed.
static struct sfl_join *join_of(const struct singleflight_do_options *options)
{
    struct sfl_join read;
    const char *problem = NULL;
    assert_int_equal(sfl_join_read(&read, options, &defaults, &problem), SFL_OK);
    struct sfl_join *join = malloc(sizeof(*join) + sfl_join_copy_bytes(&read));
    assert_non_null(join);
    *join = read;
    sfl_join_copy(join, (uint8_t *)(join + 1));
    return join;
}

static void assert_refused(const struct singleflight_do_options *options, const char *word)
{
    struct sfl_join join;
    const char *problem = NULL;
    assert_int_equal(sfl_join_read(&join, options, &defaults, &problem), SFL_INVALID_ARGUMENT);
    assert_non_null(strstr(problem, word));
}

static void wrong_options_are_refused_and_named(void **state)
{
    (void)state;
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    assert_refused(&options, "key");
    options = options_of("k");
    options.struct_bytes = 0;
    assert_refused(&options, "SINGLEFLIGHT_DO_OPTIONS_INIT");
    options = options_of("k");
    options.role = (enum singleflight_role)17;
    assert_refused(&options, "role");
    options = options_of("k");
    options.on_leader_loss = (enum singleflight_leader_loss)17;
    assert_refused(&options, "on_leader_loss");
    options = options_of("k");
    options.caller = "\xff";
    assert_refused(&options, "caller");
    options = options_of("k");
    options.group = "\xff";
    assert_refused(&options, "group");
    options = options_of("k");
    options.fingerprint_bytes = 3;
    assert_refused(&options, "fingerprint");
}

static void calls_of_other_traces_are_equal(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("k");
    options.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct sfl_join *one = join_of(&options);
    assert_string_equal(one->options.traceparent, options.traceparent);
    options.traceparent = "what is none is none";
    struct sfl_join *none = join_of(&options);
    assert_string_equal(none->options.traceparent, "");
    assert_true(sfl_join_merges(one, none));
    assert_int_equal(sfl_join_hash(one, 7), sfl_join_hash(none, 7));
    free(one);
    free(none);
    options.struct_bytes = offsetof(struct singleflight_do_options, traceparent);
    options.traceparent = (const char *)(uintptr_t)1; // of a program that knows no such field
    struct sfl_join *older = join_of(&options);
    assert_string_equal(older->options.traceparent, "");
    free(older);
}

static void the_client_supplies_what_the_call_leaves_open(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("k");
    struct sfl_join *join = join_of(&options);
    assert_string_equal(join->options.caller, "me@here:1");
    assert_string_equal(join->options.group, "");
    assert_int_equal(join->options.connect_timeout_ms, 5000);
    free(join);
    options.connect_timeout_ms = 7;
    join = join_of(&options);
    assert_int_equal(join->options.connect_timeout_ms, 7);
    free(join);
    options.connect_timeout_ms = 0;
    join = join_of(&options);
    assert_int_equal(join->options.connect_timeout_ms, 0);
    free(join);
}

static void an_older_programs_shorter_struct_is_understood(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("k");
    options.no_local_merge = true; // a field that program does not know of
    options.struct_bytes = offsetof(struct singleflight_do_options, retain_ms);
    struct sfl_join *join = join_of(&options);
    assert_false(join->options.no_local_merge);
    assert_true(join->options.connect_timeout_ms == 5000); // not given
    assert_int_equal(join->options.key_bytes, 1);
    free(join);
}

static void who_can_only_follow_never_fails_open(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("k");
    options.fail_open = true;
    struct sfl_join *join = join_of(&options);
    assert_true(join->options.fail_open);
    free(join);
    options.role = SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    join = join_of(&options);
    assert_false(join->options.fail_open);
    free(join);
}

// True when a plain call and one with these options are merged; checks that the hashes agree.
static bool merges_with_plain(const struct singleflight_do_options *options)
{
    struct singleflight_do_options plain = options_of("k");
    struct sfl_join *a = join_of(&plain);
    struct sfl_join *b = join_of(options);
    bool merges = sfl_join_merges(a, b);
    assert_int_equal(sfl_join_merges(b, a), merges);
    if (merges)
        assert_true(sfl_join_hash(a, 3) == sfl_join_hash(b, 3));
    free(a);
    free(b);
    return merges;
}

static void equal_calls_merge_whatever_their_timeouts(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("k");
    assert_true(merges_with_plain(&options));
    options.timeout_ms = 100;
    options.connect_timeout_ms = 100;
    assert_true(merges_with_plain(&options));
    options.fingerprint = "";
    assert_true(merges_with_plain(&options));
}

#define ASSERT_NOT_MERGED(field, value)                                                            \
    do {                                                                                           \
        struct singleflight_do_options options = options_of("k");                                  \
        options.field = (value);                                                                   \
        assert_false(merges_with_plain(&options));                                                 \
    } while (0)

static void calls_that_differ_do_not_merge(void **state)
{
    (void)state;
    struct singleflight_do_options other_key = options_of("l");
    assert_false(merges_with_plain(&other_key));
    ASSERT_NOT_MERGED(group, "g");
    ASSERT_NOT_MERGED(caller, "another");
    ASSERT_NOT_MERGED(retain_ms, 1);
    ASSERT_NOT_MERGED(retain_error_ms, 1);
    ASSERT_NOT_MERGED(max_age_ms, 1);
    ASSERT_NOT_MERGED(lease_ms, 1000);
    ASSERT_NOT_MERGED(run_limit_ms, 1000);
    ASSERT_NOT_MERGED(on_leader_loss, SINGLEFLIGHT_LEADER_LOSS_FAIL);
    ASSERT_NOT_MERGED(max_attempts, 2);
    ASSERT_NOT_MERGED(audience, true);
    ASSERT_NOT_MERGED(fail_open, true);
    ASSERT_NOT_MERGED(no_value, true);
    struct singleflight_do_options options = options_of("k");
    options.fingerprint = "f";
    options.fingerprint_bytes = 1;
    assert_false(merges_with_plain(&options));
}

static void some_calls_are_never_merged_not_even_with_their_like(void **state)
{
    (void)state;
    struct singleflight_do_options options[5];
    for (size_t i = 0; i < 5; i++)
        options[i] = options_of("k");
    options[0].live = true;
    options[1].role = SINGLEFLIGHT_ROLE_LEAD_ONLY;
    options[2].role = SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    options[3].resume_token = 5;
    options[4].no_local_merge = true;
    for (size_t i = 0; i < 5; i++) {
        struct sfl_join *a = join_of(&options[i]);
        struct sfl_join *b = join_of(&options[i]);
        assert_false(sfl_join_merges(a, b));
        free(a);
        free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_options_are_refused_and_named),
        cmocka_unit_test(calls_of_other_traces_are_equal),
        cmocka_unit_test(the_client_supplies_what_the_call_leaves_open),
        cmocka_unit_test(an_older_programs_shorter_struct_is_understood),
        cmocka_unit_test(who_can_only_follow_never_fails_open),
        cmocka_unit_test(equal_calls_merge_whatever_their_timeouts),
        cmocka_unit_test(calls_that_differ_do_not_merge),
        cmocka_unit_test(some_calls_are_never_merged_not_even_with_their_like),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
