// SPDX-License-Identifier: Apache-2.0
// What is counted of flights and callers. Each list is the one place that says what there is: sums,
// GetStats, the metrics and their documentation come from it.
#ifndef SFL_CORE_STATS_H
#define SFL_CORE_STATS_H

#include "base/histogram.h"
#include "core/reason.h"

#include <stdint.h>

// field, kind, metric, the value of its label `role` or "", number in GetStats or 0, help.
// Rows of one metric stand together. "": it is no metric of its own.
#define SFL_STATS_LIST(X)                                                                          \
    X(calls, COUNTER, "", "", 1, "Joins that were admitted.")                                      \
    X(calls_led, COUNTER, "calls", "leader", 0, "Calls, by what they began as.")                   \
    X(calls_followed, COUNTER, "calls", "follower", 0, "")                                         \
    X(retained_hits, COUNTER, "calls", "retained", 4, "")                                          \
    X(refused, COUNTER, "calls", "refused", 8, "")                                                 \
    X(executions, COUNTER, "executions", "", 2, "Times somebody was told to lead.")                \
    X(executions_saved, COUNTER, "executions_saved", "", 3,                                        \
      "Outcomes that went to callers that did not lead, retained ones included.")                  \
    X(leaders_lost, COUNTER, "", "", 5, "Leaders that were lost; see leader_losses.")              \
    X(fenced, COUNTER, "fenced", "", 6, "Leaders that were told that their token is void.")        \
    X(forgets, COUNTER, "forgets", "", 7, "Forgets that forgot something.")                        \
    X(retain_refused, COUNTER, "retain_refused", "", 18,                                           \
      "Outcomes that were to be retained and were not, for want of room in memory or on disk.")    \
    X(flights_now, GAUGE, "flights", "", 9, "Flights that run.")                                   \
    X(callers_now, GAUGE, "callers", "", 10, "Callers that lead or wait.")                         \
    X(retained_now, GAUGE, "retained_outcomes", "", 11, "Outcomes that are retained.")             \
    X(bytes_now, GAUGE, "held_bytes", "", 12, "Bytes held for values, retained ones included.")

// Of a group, or of all.
struct sfl_stats {
#define SFL_STATS_FIELD(field, kind, metric, role, number, help) uint64_t field;
    SFL_STATS_LIST(SFL_STATS_FIELD)
#undef SFL_STATS_FIELD
};

void sfl_stats_add(struct sfl_stats *sum, const struct sfl_stats *more);

// How a flight that was led has ended.
#define SFL_END_LIST(X)                                                                            \
    X(OK)                                                                                          \
    X(ERROR)                                                                                       \
    X(PANIC)                                                                                       \
    X(ABANDONED)                                                                                   \
    X(LOST)  /* no outcome: the leader was lost, and nobody went on */                             \
    X(ENDED) /* no outcome: it was ended from outside */                                           \
    X(DRAINED)

enum sfl_end {
#define SFL_END_ENUM(name) SFL_END_##name,
    SFL_END_LIST(SFL_END_ENUM)
#undef SFL_END_ENUM
        SFL_ENDS,
};

// How a leader is lost; other losses are those of callers that do not lead any more.
#define SFL_LEADER_LOSS_LIST(X)                                                                    \
    X(LEFT)                                                                                        \
    X(LEASE)                                                                                       \
    X(RUN_LIMIT)                                                                                   \
    X(FAILED)                                                                                      \
    X(ROOM)

// What a table counts that no group has for itself.
struct sfl_tally {
    uint64_t ended[SFL_ENDS];
    uint64_t losses[SFL_LOSSES];
    uint64_t refused[SFL_REASON_NONE]; // of those that are limits
    struct sfl_histogram flight_ms;    // of flights that were led, from the first lead on
    struct sfl_histogram wait_ms;      // of followers that heard how their flight has ended
    struct sfl_histogram outcome_bytes;
};

void sfl_tally_add(struct sfl_tally *sum, const struct sfl_tally *more);

#endif
