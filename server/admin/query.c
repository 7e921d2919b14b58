// SPDX-License-Identifier: Apache-2.0
#include "admin/query.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const state_words[SFL_ADMIN_STATES] = {
    [SFL_ADMIN_FINDING_HOME] = "finding-home",
    [SFL_ADMIN_LED] = "led",
    [SFL_ADMIN_ORPHANED] = "orphaned",
    [SFL_ADMIN_RETAINED] = "retained",
    [SFL_ADMIN_NEXT] = "next",
    [SFL_ADMIN_OVERDUE] = "overdue",
    [SFL_ADMIN_FORGOTTEN] = "forgotten",
};

static const char *const sort_words[] = {
    [SFL_SORT_CALLERS] = "callers", [SFL_SORT_AGE] = "age", [SFL_SORT_BYTES] = "bytes",
    [SFL_SORT_ATTEMPT] = "attempt", [SFL_SORT_KEY] = "key", [SFL_SORT_GROUP] = "group",
};

static const char *const outcome_words[] = {"ok", "error", "panic", "abandoned", "aborted"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const char *sfl_admin_state_word(enum sfl_admin_state state)
{
    return state_words[state];
}

void sfl_query_init(struct sfl_query *query)
{
    memset(query, 0, sizeof(*query));
    query->flights.limit = SFL_QUERY_LIMIT_DEFAULT;
    query->runs.limit = SFL_QUERY_LIMIT_DEFAULT;
}

__attribute__((format(printf, 2, 3))) static bool fail(char *problem, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, SFL_QUERY_PROBLEM_MAX, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_word(struct sfl_span value, const char *word)
{
    return sfl_span_equal(value, sfl_span_of_text(word));
}

// The index of a word; -1 when it is none of them.
static int find_word(struct sfl_span value, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_word(value, words[i]))
            return (int)i;
    }
    return -1;
}

// "callers, age or bytes".
static bool fail_words(char *problem, const char *name, const char *const *words, size_t count)
{
    char list[SFL_QUERY_PROBLEM_MAX] = "";
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(list);
        const char *joint = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        snprintf(list + used, sizeof(list) - used, "%s%s", joint, words[i]);
    }
    return fail(problem, "%s must be %.120s", name, list);
}

static bool set_sort(struct sfl_query *query, const char *name, struct sfl_span value,
                     char *problem)
{
    int sort = find_word(value, sort_words, COUNT_OF(sort_words));
    if (sort < 0)
        return fail_words(problem, name, sort_words, COUNT_OF(sort_words));
    query->sort = (enum sfl_flight_sort)sort;
    return true;
}

// Several states are separated by commas.
static bool set_states(struct sfl_query *query, const char *name, struct sfl_span value,
                       char *problem)
{
    unsigned states = 0;
    size_t begin = 0;
    while (begin < value.size) {
        const uint8_t *comma = memchr(value.data + begin, ',', value.size - begin);
        size_t end = comma == NULL ? value.size : (size_t)(comma - value.data);
        struct sfl_span word = sfl_span_of(value.data + begin, end - begin);
        int state = find_word(word, state_words, COUNT_OF(state_words));
        if (state < 0)
            return fail_words(problem, name, state_words, COUNT_OF(state_words));
        states |= 1U << state;
        begin = end + 1;
    }
    query->states = states;
    return true;
}

static bool set_outcome(struct sfl_query *query, const char *name, struct sfl_span value,
                        char *problem)
{
    int outcome = find_word(value, outcome_words, COUNT_OF(outcome_words));
    if (value.size > 0 && outcome < 0)
        return fail_words(problem, name, outcome_words, COUNT_OF(outcome_words));
    snprintf(query->runs_outcome, sizeof(query->runs_outcome), "%s",
             value.size == 0 ? "" : outcome_words[outcome]);
    return true;
}

static bool set_text(struct sfl_query_text *text, const char *name, struct sfl_span value,
                     size_t size_max, char *problem)
{
    if (value.size > size_max)
        return fail(problem, "%s is longer than %zu bytes", name, size_max);
    if (!sfl_utf8_is_valid(value))
        return fail(problem, "%s is not UTF-8", name);
    text->size = value.size;
    if (value.size > 0)
        memcpy(text->bytes, value.data, value.size);
    return true;
}

static bool set_number(uint32_t *number_out, const char *name, struct sfl_span value, uint32_t max,
                       char *problem)
{
    uint32_t number = 0;
    for (size_t i = 0; i < value.size && number <= max; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return fail(problem, "%s must be a number from 0 to %u", name, max);
        number = number * 10 + (value.data[i] - '0');
    }
    if (value.size == 0 || number > max)
        return fail(problem, "%s must be a number from 0 to %u", name, max);
    *number_out = number;
    return true;
}

static bool set_long(uint64_t *number_out, const char *name, struct sfl_span value, char *problem)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.size; i++) {
        uint64_t digit = value.data[i] - (uint64_t)'0';
        if (digit > 9 || number > (UINT64_MAX - digit) / 10)
            return fail(problem, "%s must be one that a row has", name);
        number = number * 10 + digit;
    }
    *number_out = number;
    return true;
}

enum outcome {
    IS_SET,
    IS_WRONG,
    IS_UNKNOWN,
};

static enum outcome outcome_of(bool is_set)
{
    return is_set ? IS_SET : IS_WRONG;
}

// `name` without the "runs_" that the request may have; `asked` with it.
static enum outcome set_window(struct sfl_query_window *window, const char *name, const char *asked,
                               struct sfl_span value, char *problem)
{
    if (strcmp(name, "group") == 0)
        return outcome_of(set_text(&window->group, asked, value, SFL_QUERY_GROUP_MAX, problem));
    if (strcmp(name, "search") == 0)
        return outcome_of(set_text(&window->search, asked, value, SFL_QUERY_SEARCH_MAX, problem));
    if (strcmp(name, "offset") == 0)
        return outcome_of(set_number(&window->offset, asked, value, SFL_QUERY_OFFSET_MAX, problem));
    if (strcmp(name, "limit") == 0)
        return outcome_of(set_number(&window->limit, asked, value, SFL_QUERY_LIMIT_MAX, problem));
    return IS_UNKNOWN;
}

static enum outcome set_flights(struct sfl_query *query, const char *name, struct sfl_span value,
                                char *problem)
{
    if (strcmp(name, "sort") == 0)
        return outcome_of(set_sort(query, name, value, problem));
    if (strcmp(name, "state") == 0)
        return outcome_of(set_states(query, name, value, problem));
    if (strcmp(name, "token") == 0)
        return outcome_of(set_long(&query->token, name, value, problem));
    if (strcmp(name, "key_hash") == 0)
        return outcome_of(set_long(&query->key_hash, name, value, problem));
    return set_window(&query->flights, name, name, value, problem);
}

static enum outcome set_runs(struct sfl_query *query, const char *name, const char *asked,
                             struct sfl_span value, char *problem)
{
    if (strcmp(name, "outcome") == 0)
        return outcome_of(set_outcome(query, asked, value, problem));
    return set_window(&query->runs, name, asked, value, problem);
}

static enum outcome set(struct sfl_query *query, enum sfl_query_kind kind, const char *name,
                        struct sfl_span value, char *problem)
{
    static const char prefix[] = "runs_";
    switch (kind) {
    case SFL_QUERY_FLIGHTS:
        return set_flights(query, name, value, problem);
    case SFL_QUERY_RUNS:
        return set_runs(query, name, name, value, problem);
    case SFL_QUERY_EVENTS:
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            return set_runs(query, name + strlen(prefix), name, value, problem);
        return set_flights(query, name, value, problem);
    case SFL_QUERY_NOTHING:
        break;
    }
    return IS_UNKNOWN;
}

// Not more of a name than is fit to be shown.
static bool fail_unknown(char *problem, const char *name)
{
    char shown[40];
    size_t i = 0;
    for (; name[i] != '\0' && i + 1 < sizeof(shown); i++)
        shown[i] = (char)(name[i] > ' ' && name[i] < 0x7f ? name[i] : '?');
    shown[i] = '\0';
    return fail(problem, "there is no parameter \"%s\" here", shown);
}

bool sfl_query_set(struct sfl_query *query, enum sfl_query_kind kind, const char *name,
                   struct sfl_span value, char problem_out[static SFL_QUERY_PROBLEM_MAX])
{
    enum outcome outcome = set(query, kind, name, value, problem_out);
    if (outcome == IS_UNKNOWN)
        return fail_unknown(problem_out, name);
    return outcome == IS_SET;
}
