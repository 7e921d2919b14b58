// SPDX-License-Identifier: Apache-2.0
// One call that is traced: what is noted of it until its spans are written. A call has one span for
// its wait, one for its lead, or both when it was promoted.
//
// Everything here is for whoever holds the call, one thread at a time; and everything takes NULL,
// which is a call that is not traced, and costs one comparison then.
#ifndef SFL_TRACING_TRACED_H
#define SFL_TRACING_TRACED_H

#include "base/list.h"
#include "core/reason.h"
#include "core/value.h"
#include "tracing/trace_context.h"

struct sfl_tracing;

enum sfl_traced_event_type {
    SFL_TRACED_FOLLOW,  // it was told who leads; attempt 0: nobody yet
    SFL_TRACED_RESTART, // another attempt began while it waited
    SFL_TRACED_LEAD,    // it was told that it leads
    SFL_TRACED_OUTCOME, // its last word was known, and waits to be told
};

struct sfl_traced_event {
    uint64_t at_ns;
    enum sfl_traced_event_type type;
    uint32_t attempt;
};

enum {
    SFL_TRACED_EVENTS_MAX = 8,  // later ones are counted only
    SFL_TRACED_GROUP_MAX = 128, // bytes of the group's name
};

// Times are in ns of the monotonic clock; 0: it has not happened.
struct sfl_traced {
    struct sfl_link link;
    struct sfl_tracing *tracing;
    struct sfl_trace_context parent; // its trace is the call's, also when there is no parent
    uint8_t wait_id[SFL_TRACE_SPAN_BYTES];
    uint8_t lead_id[SFL_TRACE_SPAN_BYTES];
    bool has_waited;
    bool has_result;
    bool is_retained;
    enum sfl_outcome_kind kind;
    int code;               // of the status that it ended with, when it has no result
    struct sfl_bytes *text; // of that status; NULL: none
    uint32_t callers;
    uint32_t attempt;
    uint64_t token;
    struct sfl_origin origin; // of the lead whose outcome it got
    uint64_t begun_unix_ns;   // of the wall clock
    uint64_t begun_ns;
    uint64_t led_ns;
    uint64_t ended_ns;
    unsigned event_count; // may be more than there are
    struct sfl_traced_event events[SFL_TRACED_EVENTS_MAX];
    size_t group_size;
    uint8_t group[];
};

// A call whose trace is `parent`'s; what is missing is filled in by whoever makes it. NULL when
// there is no memory.
struct sfl_traced *sfl_traced_create(const struct sfl_trace_context *parent, struct sfl_span group);
void sfl_traced_destroy(struct sfl_traced *traced);

// What it takes of memory.
size_t sfl_traced_bytes(const struct sfl_traced *traced);

// How many spans are made of it.
unsigned sfl_traced_spans(const struct sfl_traced *traced);

void sfl_traced_add_event(struct sfl_traced *traced, enum sfl_traced_event_type type,
                          uint32_t attempt);
void sfl_traced_set_lead(struct sfl_traced *traced, uint32_t attempt, uint64_t token);
void sfl_traced_set_result(struct sfl_traced *traced, const struct sfl_result *result);
void sfl_traced_set_refusal(struct sfl_traced *traced, int code, const char *text);
void sfl_traced_set_end(struct sfl_traced *traced);
// Nothing happens any more: who was not told its last word has left.
void sfl_traced_finish(struct sfl_traced *traced);
void sfl_traced_mark(const struct sfl_traced *traced, struct sfl_origin *origin_out);

static inline void sfl_trace_follow(struct sfl_traced *traced, uint32_t attempt)
{
    if (traced != NULL)
        sfl_traced_add_event(traced, SFL_TRACED_FOLLOW, attempt);
}

static inline void sfl_trace_restart(struct sfl_traced *traced, uint32_t attempt)
{
    if (traced != NULL)
        sfl_traced_add_event(traced, SFL_TRACED_RESTART, attempt);
}

static inline void sfl_trace_lead(struct sfl_traced *traced, uint32_t attempt, uint64_t token)
{
    if (traced != NULL)
        sfl_traced_set_lead(traced, attempt, token);
}

static inline void sfl_trace_result(struct sfl_traced *traced, const struct sfl_result *result)
{
    if (traced != NULL)
        sfl_traced_set_result(traced, result);
}

// The last word has been handed over, to be sent.
static inline void sfl_trace_told(struct sfl_traced *traced)
{
    if (traced != NULL)
        sfl_traced_set_end(traced);
}

// Leaves on an outcome whose lead it comes from. Before anybody else can get that outcome.
static inline void sfl_trace_mark(const struct sfl_traced *traced, struct sfl_outcome *outcome)
{
    if (traced != NULL)
        sfl_traced_mark(traced, &outcome->origin);
}

#endif
