// SPDX-License-Identifier: Apache-2.0
// What was counted over the last hour, and what the rates are now: rings of a fixed size. Pure:
// time comes with what is added.
#ifndef SFL_ADMIN_HISTORY_H
#define SFL_ADMIN_HISTORY_H

#include "admin/sources.h"

enum {
    SFL_HISTORY_STEP_MS = 10000,
    SFL_HISTORY_POINTS = 360,
    SFL_RATES_WINDOW = 10, // seconds
};

// The series of a point, in this order and by these names.
#define SFL_HISTORY_LIST(X)                                                                        \
    X(calls) /* of these three so many in a second */                                              \
    X(executions)                                                                                  \
    X(saved)                                                                                       \
    X(flight_p50_ms) /* of those that ended meanwhile */                                           \
    X(flight_p99_ms)                                                                               \
    X(wait_p50_ms)                                                                                 \
    X(wait_p99_ms)                                                                                 \
    X(flights) /* of these there are so many */                                                    \
    X(callers)                                                                                     \
    X(held_bytes)

enum sfl_history_series {
#define SFL_HISTORY_ENUM(name) SFL_HISTORY_##name,
    SFL_HISTORY_LIST(SFL_HISTORY_ENUM)
#undef SFL_HISTORY_ENUM
        SFL_HISTORY_SERIES,
};

// NAN: there is nothing to say.
struct sfl_history_point {
    uint64_t at_unix_ms;
    double values[SFL_HISTORY_SERIES];
};

struct sfl_history {
    uint64_t added; // points, ever; a point stands at its number modulo SFL_HISTORY_POINTS
    struct sfl_history_point points[SFL_HISTORY_POINTS];
    bool has_last;
    uint64_t last_ms; // when `last` was counted
    struct sfl_admin_counts last;
};

// Adds a point for the time since the last call; the first call only notes where counting begins.
// `now_ms` is of the monotonic clock, `unix_ms` of the wall's. Returns the point, or NULL.
const struct sfl_history_point *sfl_history_add(struct sfl_history *history, uint64_t now_ms,
                                                uint64_t unix_ms,
                                                const struct sfl_admin_counts *counts);

// The number of points, and the i-th oldest of them.
size_t sfl_history_count(const struct sfl_history *history);
const struct sfl_history_point *sfl_history_at(const struct sfl_history *history, size_t i);

// So many percent of what the histogram (with sfl_bounds_ms) has counted since `before` were at
// most so large; within a bucket they are taken as evenly spread. NAN when it has counted nothing.
double sfl_history_percentile(const struct sfl_histogram *now, const struct sfl_histogram *before,
                              double percent);

// The newest counts of each second.
struct sfl_rates {
    unsigned count;
    unsigned next;
    struct {
        uint64_t at_ms;
        uint64_t calls;
        uint64_t executions;
        uint64_t saved;
    } items[SFL_RATES_WINDOW + 1];
    double calls_per_s;
    double executions_per_s;
    double saved_per_s;
};

void sfl_rates_add(struct sfl_rates *rates, uint64_t now_ms,
                   const struct sfl_admin_counters *counters);

#endif
