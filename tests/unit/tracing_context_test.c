// SPDX-License-Identifier: Apache-2.0
// Trace contexts as W3C has them, and who is traced.
#include "tracing/ids.h"
#include "tracing/sampler.h"
#include "tracing/trace_context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define NO_TRACE "00000000000000000000000000000000"
#define NO_SPAN "0000000000000000"

static struct sfl_trace_context read_text(const char *text)
{
    return sfl_trace_context_read(sfl_span_of_text(text));
}

static void a_context_is_read(void **state)
{
    (void)state;
    static const uint8_t trace[] = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
                                    0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};
    static const uint8_t span[] = {0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31};
    struct sfl_trace_context context = read_text("00-" TRACE "-" SPAN "-01");
    assert_true(context.is_set);
    assert_true(context.is_sampled);
    assert_memory_equal(context.trace_id, trace, sizeof(trace));
    assert_memory_equal(context.span_id, span, sizeof(span));
}

static void only_the_last_bit_of_the_flags_says_sampled(void **state)
{
    (void)state;
    assert_false(read_text("00-" TRACE "-" SPAN "-00").is_sampled);
    assert_false(read_text("00-" TRACE "-" SPAN "-fe").is_sampled);
    assert_true(read_text("00-" TRACE "-" SPAN "-ff").is_sampled);
}

static void a_version_of_the_future_may_have_more(void **state)
{
    (void)state;
    assert_true(read_text("01-" TRACE "-" SPAN "-01").is_sampled);
    assert_true(read_text("cc-" TRACE "-" SPAN "-01-what-is-to-come").is_sampled);
    assert_true(read_text("fe-" TRACE "-" SPAN "-01-").is_sampled);
}

static void what_is_no_context_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-01-more",
        "00-" TRACE "-" SPAN "-011",
        "01-" TRACE "-" SPAN "-01more",
        "ff-" TRACE "-" SPAN "-01",
        "FE-" TRACE "-" SPAN "-01",
        "0x-" TRACE "-" SPAN "-01",
        "00-" NO_TRACE "-" SPAN "-01",
        "00-" TRACE "-" NO_SPAN "-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
        "00-" TRACE "-B7AD6B7169203331-01",
        "00-" TRACE "-" SPAN "-0G",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        " 00-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-01 ",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033311-01",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (read_text(bad[i]).is_set)
            fail_msg("\"%s\" is taken", bad[i]);
    }
    assert_false(sfl_trace_context_read(sfl_span_of(NULL, 0)).is_set);
}

static bool decides(const char *sampler_name, const struct sfl_trace_context *parent)
{
    struct sfl_sampler sampler;
    assert_true(sfl_sampler_read(sampler_name, &sampler));
    return sfl_sampler_decide(&sampler, parent, parent->trace_id);
}

static void a_sampler_that_is_based_on_the_parent_follows_it(void **state)
{
    (void)state;
    struct sfl_trace_context sampled = read_text("00-" TRACE "-" SPAN "-01");
    struct sfl_trace_context not_sampled = read_text("00-" TRACE "-" SPAN "-00");
    struct sfl_trace_context none = {.is_set = false};
    assert_true(decides("parentbased_always_off", &sampled));
    assert_false(decides("parentbased_always_on", &not_sampled));
    assert_true(decides("parentbased_always_on", &none));
    assert_false(decides("parentbased_always_off", &none));
    assert_true(decides("always_on", &not_sampled));
    assert_false(decides("always_off", &sampled));
    assert_true(decides("Always_On", &none));
}

static void a_name_that_is_no_sampler_changes_nothing(void **state)
{
    (void)state;
    struct sfl_sampler sampler = sfl_sampler_default();
    assert_false(sfl_sampler_read("jaeger_remote", &sampler));
    assert_false(sfl_sampler_read("", &sampler));
    assert_int_equal(sampler.kind, SFL_SAMPLER_ALWAYS_ON);
    assert_true(sampler.is_parent_based);
}

static unsigned sampled_of_10000(double ratio)
{
    struct sfl_sampler sampler = {SFL_SAMPLER_TRACE_ID_RATIO, false, ratio};
    struct sfl_trace_context none = {.is_set = false};
    unsigned sampled = 0;
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t id[SFL_TRACE_ID_BYTES];
        sfl_trace_new_id(id);
        sampled += sfl_sampler_decide(&sampler, &none, id);
    }
    return sampled;
}

static void a_ratio_of_the_traces_is_sampled(void **state)
{
    (void)state;
    assert_int_equal(sampled_of_10000(0), 0);
    assert_int_equal(sampled_of_10000(1), 10000);
    assert_in_range(sampled_of_10000(0.25), 2200, 2800);
}

// As go.opentelemetry.io/otel/sdk/trace decides it.
static void a_trace_is_sampled_as_other_services_sample_it(void **state)
{
    (void)state;
    struct sfl_sampler half = {SFL_SAMPLER_TRACE_ID_RATIO, false, 0.5};
    struct sfl_trace_context none = {.is_set = false};
    uint8_t below[SFL_TRACE_ID_BYTES] = {0xff, [8] = 0x7f, 0xff, 0xff, 0xff,
                                         0xff, 0xff,       0xff, 0xff};
    uint8_t above[SFL_TRACE_ID_BYTES] = {0x00, [8] = 0x80};
    assert_true(sfl_sampler_decide(&half, &none, below));
    assert_false(sfl_sampler_decide(&half, &none, above));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_context_is_read),
        cmocka_unit_test(only_the_last_bit_of_the_flags_says_sampled),
        cmocka_unit_test(a_version_of_the_future_may_have_more),
        cmocka_unit_test(what_is_no_context_is_none),
        cmocka_unit_test(a_sampler_that_is_based_on_the_parent_follows_it),
        cmocka_unit_test(a_name_that_is_no_sampler_changes_nothing),
        cmocka_unit_test(a_ratio_of_the_traces_is_sampled),
        cmocka_unit_test(a_trace_is_sampled_as_other_services_sample_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
