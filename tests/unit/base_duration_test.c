// SPDX-License-Identifier: Apache-2.0
// Durations and sizes: what people write, what is refused and in which words.
#include "base/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct good {
    const char *text;
    uint64_t value;
};

struct bad {
    const char *text;
    const char *problem; // a part of what must be said
};

static void durations_are_read_in_every_unit(void **state)
{
    (void)state;
    static const struct good cases[] = {
        {"0", 0},
        {"0ms", 0},
        {"0d", 0},
        {"1ms", 1},
        {"500ms", 500},
        {"2s", 2000},
        {"10m", 600000},
        {"1h", 3600000},
        {"7d", 604800000},
        {"007s", 7000},
        {"90s", 90000},
        {"18446744073709551615ms", UINT64_MAX},
        {"0000000000000000000000000000005s", 5000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t ms = 12345;
        const char *problem = NULL;
        assert_int_equal(sfl_duration_parse(cases[i].text, &ms, &problem), SFL_OK);
        assert_int_equal(ms, cases[i].value);
        assert_null(problem);
    }
}

static void sizes_are_read_in_every_unit(void **state)
{
    (void)state;
    static const struct good cases[] = {
        {"0", 0},
        {"4096", 4096},
        {"12B", 12},
        {"1KiB", 1024},
        {"64MiB", (uint64_t)64 << 20},
        {"1GiB", (uint64_t)1 << 30},
        {"3TiB", (uint64_t)3 << 40},
        {"18446744073709551615", UINT64_MAX},
        {"16777215TiB", (uint64_t)16777215 << 40},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes = 12345;
        const char *problem = NULL;
        assert_int_equal(sfl_size_parse(cases[i].text, &bytes, &problem), SFL_OK);
        assert_int_equal(bytes, cases[i].value);
        assert_null(problem);
    }
}

static void a_bad_duration_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"", "is empty"},
        {"5", "needs a unit"},
        {"-5s", "negative"},
        {"+5s", "does not begin with a number"},
        {" 5s", "does not begin with a number"},
        {"s", "does not begin with a number"},
        {"soon", "does not begin with a number"},
        {"5s ", "unknown unit"},
        {"5 s", "unknown unit"},
        {"5S", "unknown unit"},
        {"5sec", "unknown unit"},
        {"5KiB", "unknown unit"},
        {"1h30m", "unknown unit"},
        {"1.5s", "whole number"},
        {"1,5s", "whole number"},
        {"0x10s", "unknown unit"},
        {"18446744073709551616ms", "too large"},
        {"99999999999999999999999s", "too large"},
        {"18446744073709551615s", "too large"},
        {"213503982335d", "too large"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t ms = 12345;
        const char *problem = NULL;
        assert_int_equal(sfl_duration_parse(cases[i].text, &ms, &problem), SFL_INVALID_ARGUMENT);
        assert_int_equal(ms, 12345);
        assert_non_null(problem);
        assert_non_null(strstr(problem, cases[i].problem));
    }
}

static void a_bad_size_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"", "is empty"},
        {"MiB", "does not begin with a number"},
        {"-1", "negative"},
        {"64MB", "unknown unit"},
        {"64M", "unknown unit"},
        {"64mib", "unknown unit"},
        {"64 MiB", "unknown unit"},
        {"1s", "unknown unit"},
        {"1.5GiB", "whole number"},
        {"18446744073709551616", "too large"},
        {"16777216TiB", "too large"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes = 12345;
        const char *problem = NULL;
        assert_int_equal(sfl_size_parse(cases[i].text, &bytes, &problem), SFL_INVALID_ARGUMENT);
        assert_int_equal(bytes, 12345);
        assert_non_null(problem);
        assert_non_null(strstr(problem, cases[i].problem));
    }
}

static void durations_are_written_in_the_largest_whole_unit(void **state)
{
    (void)state;
    static const struct good cases[] = {
        {"0", 0},          {"1ms", 1},
        {"1500ms", 1500},  {"90s", 90000},
        {"1m", 60000},     {"20m", 1200000},
        {"1h", 3600000},   {"25h", 90000000},
        {"7d", 604800000}, {"18446744073709551615ms", UINT64_MAX},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[SFL_DURATION_TEXT_MAX];
        sfl_duration_format(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void sizes_are_written_in_the_largest_whole_unit(void **state)
{
    (void)state;
    static const struct good cases[] = {
        {"0", 0},
        {"1000", 1000},
        {"1KiB", 1024},
        {"1536", 1536},
        {"64MiB", (uint64_t)64 << 20},
        {"768MiB", (uint64_t)768 << 20},
        {"1GiB", (uint64_t)1 << 30},
        {"2TiB", (uint64_t)2 << 40},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[SFL_SIZE_TEXT_MAX];
        sfl_size_format(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    uint64_t value = 0;
    for (unsigned i = 0; i < 100000; i++) {
        // A plain congruence: wide numbers, and round ones as people have them.
        value = value * 6364136223846793005u + 1442695040888963407u;
        uint64_t shown = i % 2 == 0 ? value >> (i % 64) : (value >> 48) * (i % 3 ? 1000 : 1024);
        char text[SFL_DURATION_TEXT_MAX];
        const char *problem = NULL;
        uint64_t back = 0;
        sfl_duration_format(shown, text);
        assert_int_equal(sfl_duration_parse(text, &back, &problem), SFL_OK);
        assert_int_equal(back, shown);
        sfl_size_format(shown, text);
        assert_int_equal(sfl_size_parse(text, &back, &problem), SFL_OK);
        assert_int_equal(back, shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_in_every_unit),
        cmocka_unit_test(sizes_are_read_in_every_unit),
        cmocka_unit_test(a_bad_duration_is_refused_with_its_reason),
        cmocka_unit_test(a_bad_size_is_refused_with_its_reason),
        cmocka_unit_test(durations_are_written_in_the_largest_whole_unit),
        cmocka_unit_test(sizes_are_written_in_the_largest_whole_unit),
        cmocka_unit_test(what_is_written_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
