// SPDX-License-Identifier: Apache-2.0
#include "base/duration.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

// What is special to one kind of quantity; units from the smallest to the largest.
struct quantity {
    const struct unit *units;
    size_t unit_count;
    bool unit_needed;
    const char *unit_missing;
    const char *unit_unknown;
};

static const struct unit duration_units[] = {
    {"ms", 1},
    {"s", UINT64_C(1000)},
    {"m", UINT64_C(60) * 1000},
    {"h", UINT64_C(3600) * 1000},
    {"d", UINT64_C(24) * 3600 * 1000},
};

static const struct unit size_units[] = {
    {"B", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};

static const struct quantity duration = {
    .units = duration_units,
    .unit_count = sizeof(duration_units) / sizeof(duration_units[0]),
    .unit_needed = true,
    .unit_missing = "needs a unit: ms, s, m, h or d, as in 500ms",
    .unit_unknown = "has an unknown unit; the units are ms, s, m, h and d, as in 500ms",
};

static const struct quantity size = {
    .units = size_units,
    .unit_count = sizeof(size_units) / sizeof(size_units[0]),
    .unit_needed = false,
    .unit_unknown = "has an unknown unit; the units are B, KiB, MiB, GiB and TiB, as in 64MiB",
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// Reads the digits at *text and moves it behind them. Returns the problem, or NULL.
static const char *parse_number(const char **text, uint64_t *number_out)
{
    const char *at = *text;
    if (*at == '\0')
        return "is empty";
    if (*at == '-')
        return "must not be negative";
    if (!is_digit(*at))
        return "does not begin with a number";
    uint64_t number = 0;
    for (; is_digit(*at); at++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return "is too large";
    }
    if (*at == '.' || *at == ',')
        return "must be a whole number; take a smaller unit instead of a fraction";
    *text = at;
    *number_out = number;
    return NULL;
}

static const char *find_factor(const struct quantity *quantity, const char *name, uint64_t number,
                               uint64_t *factor_out)
{
    if (*name == '\0') {
        if (quantity->unit_needed && number != 0)
            return quantity->unit_missing;
        *factor_out = 1;
        return NULL;
    }
    for (size_t i = 0; i < quantity->unit_count; i++) {
        if (strcmp(name, quantity->units[i].name) == 0) {
            *factor_out = quantity->units[i].factor;
            return NULL;
        }
    }
    return quantity->unit_unknown;
}

static enum sfl_status parse(const struct quantity *quantity, const char *text, uint64_t *value_out,
                             const char **problem_out)
{
    uint64_t number = 0;
    uint64_t factor = 0;
    uint64_t value = 0;
    const char *problem = parse_number(&text, &number);
    if (problem == NULL)
        problem = find_factor(quantity, text, number, &factor);
    if (problem == NULL && __builtin_mul_overflow(number, factor, &value))
        problem = "is too large";
    if (problem != NULL) {
        *problem_out = problem;
        return SFL_INVALID_ARGUMENT;
    }
    *value_out = value;
    return SFL_OK;
}

// The largest unit that divides `value`; the smallest divides everything.
static const struct unit *largest_unit(const struct quantity *quantity, uint64_t value)
{
    size_t i = quantity->unit_count - 1;
    while (value % quantity->units[i].factor != 0)
        i--;
    return &quantity->units[i];
}

enum sfl_status sfl_duration_parse(const char *text, uint64_t *ms_out, const char **problem_out)
{
    return parse(&duration, text, ms_out, problem_out);
}

enum sfl_status sfl_size_parse(const char *text, uint64_t *bytes_out, const char **problem_out)
{
    return parse(&size, text, bytes_out, problem_out);
}

void sfl_duration_format(uint64_t ms, char text_out[SFL_DURATION_TEXT_MAX])
{
    if (ms == 0) {
        snprintf(text_out, SFL_DURATION_TEXT_MAX, "0");
        return;
    }
    const struct unit *unit = largest_unit(&duration, ms);
    snprintf(text_out, SFL_DURATION_TEXT_MAX, "%" PRIu64 "%s", ms / unit->factor, unit->name);
}

void sfl_size_format(uint64_t bytes, char text_out[SFL_SIZE_TEXT_MAX])
{
    const struct unit *unit = bytes == 0 ? &size_units[0] : largest_unit(&size, bytes);
    const char *name = unit->factor == 1 ? "" : unit->name;
    snprintf(text_out, SFL_SIZE_TEXT_MAX, "%" PRIu64 "%s", bytes / unit->factor, name);
}
