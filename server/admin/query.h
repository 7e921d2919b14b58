// SPDX-License-Identifier: Apache-2.0
// What a request asks to see: which flights and runs, in which order, and how many of them.
#ifndef SFL_ADMIN_QUERY_H
#define SFL_ADMIN_QUERY_H

#include "admin/sources.h"

enum {
    SFL_QUERY_GROUP_MAX = 1024,
    SFL_QUERY_SEARCH_MAX = 256,
    SFL_QUERY_LIMIT_DEFAULT = 100,
    SFL_QUERY_LIMIT_MAX = 500,
    SFL_QUERY_OFFSET_MAX = 10000,
    SFL_QUERY_PROBLEM_MAX = 160,
};

enum sfl_flight_sort {
    SFL_SORT_CALLERS, // the greatest first, and so with the next three
    SFL_SORT_AGE,
    SFL_SORT_BYTES,
    SFL_SORT_ATTEMPT,
    SFL_SORT_KEY,
    SFL_SORT_GROUP,
};

// Owned by whoever holds the struct; empty when nothing was asked for.
struct sfl_query_text {
    size_t size;
    char bytes[SFL_QUERY_GROUP_MAX];
};

// Which rows of a list.
struct sfl_query_window {
    struct sfl_query_text group;  // exactly this one
    struct sfl_query_text search; // in the key, the group or the leader; ASCII letters in any case
    uint32_t offset;
    uint32_t limit;
};

struct sfl_query {
    enum sfl_flight_sort sort;
    uint64_t token;    // of the flights that are wanted, whose keys are shown whole; 0: all
    uint64_t key_hash; // of the key that is wanted, as JSON tells it; 0: all
    unsigned states;   // a bit for each sfl_admin_state; 0: all
    struct sfl_query_window flights;
    struct sfl_query_window runs;
    char runs_outcome[16]; // empty: all
};

// What a request may ask for.
enum sfl_query_kind {
    SFL_QUERY_FLIGHTS,
    SFL_QUERY_RUNS,
    SFL_QUERY_EVENTS, // both; those of the runs are called "runs_..."
    SFL_QUERY_NOTHING,
};

void sfl_query_init(struct sfl_query *query);

// Takes one parameter over. False when there is no such one or it has no such value: then
// `problem_out` says so in one line.
bool sfl_query_set(struct sfl_query *query, enum sfl_query_kind kind, const char *name,
                   struct sfl_span value, char problem_out[static SFL_QUERY_PROBLEM_MAX]);

// The word for a state in a query and in JSON.
const char *sfl_admin_state_word(enum sfl_admin_state state);

static inline struct sfl_span sfl_query_span(const struct sfl_query_text *text)
{
    return sfl_span_of(text->bytes, text->size);
}

#endif
