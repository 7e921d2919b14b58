// SPDX-License-Identifier: Apache-2.0
#include "admin/history.h"

#include <math.h>

static double per_second(uint64_t now, uint64_t before, uint64_t elapsed_ms)
{
    if (elapsed_ms == 0 || now < before)
        return 0;
    return (double)(now - before) * 1000 / (double)elapsed_ms;
}

double sfl_history_percentile(const struct sfl_histogram *now, const struct sfl_histogram *before,
                              double percent)
{
    const struct sfl_bounds *bounds = &sfl_bounds_ms;
    uint64_t total = 0;
    for (size_t i = 0; i <= bounds->count; i++)
        total += now->counts[i] - before->counts[i];
    if (total == 0)
        return NAN;
    double wanted = (double)total * percent / 100;
    double below = 0;
    for (size_t i = 0; i < bounds->count; i++) {
        double here = (double)(now->counts[i] - before->counts[i]);
        double from = i == 0 ? 0 : (double)bounds->at[i - 1];
        if (here > 0 && below + here >= wanted)
            return from + ((double)bounds->at[i] - from) * (wanted - below) / here;
        below += here;
    }
    return (double)bounds->at[bounds->count - 1]; // it is more than that
}

static void fill(struct sfl_history_point *point, const struct sfl_admin_counts *now,
                 const struct sfl_admin_counts *before, uint64_t elapsed_ms)
{
    const struct sfl_admin_counters *a = &now->counters;
    const struct sfl_admin_counters *b = &before->counters;
    double *values = point->values;
    values[SFL_HISTORY_calls] = per_second(a->calls, b->calls, elapsed_ms);
    values[SFL_HISTORY_executions] = per_second(a->executions, b->executions, elapsed_ms);
    values[SFL_HISTORY_saved] = per_second(a->saved, b->saved, elapsed_ms);
    values[SFL_HISTORY_flight_p50_ms] =
        sfl_history_percentile(&now->flight_ms, &before->flight_ms, 50);
    values[SFL_HISTORY_flight_p99_ms] =
        sfl_history_percentile(&now->flight_ms, &before->flight_ms, 99);
    values[SFL_HISTORY_wait_p50_ms] = sfl_history_percentile(&now->wait_ms, &before->wait_ms, 50);
    values[SFL_HISTORY_wait_p99_ms] = sfl_history_percentile(&now->wait_ms, &before->wait_ms, 99);
    values[SFL_HISTORY_flights] = (double)now->current.flights;
    values[SFL_HISTORY_callers] = (double)now->current.callers;
    values[SFL_HISTORY_held_bytes] = (double)now->current.held_bytes;
}

const struct sfl_history_point *sfl_history_add(struct sfl_history *history, uint64_t now_ms,
                                                uint64_t unix_ms,
                                                const struct sfl_admin_counts *counts)
{
    struct sfl_history_point *point = NULL;
    if (history->has_last) {
        point = &history->points[history->added++ % SFL_HISTORY_POINTS];
        point->at_unix_ms = unix_ms;
        fill(point, counts, &history->last, now_ms - history->last_ms);
    }
    history->has_last = true;
    history->last_ms = now_ms;
    history->last = *counts;
    return point;
}

size_t sfl_history_count(const struct sfl_history *history)
{
    return history->added < SFL_HISTORY_POINTS ? history->added : SFL_HISTORY_POINTS;
}

const struct sfl_history_point *sfl_history_at(const struct sfl_history *history, size_t i)
{
    uint64_t oldest = history->added - sfl_history_count(history);
    return &history->points[(oldest + i) % SFL_HISTORY_POINTS];
}

void sfl_rates_add(struct sfl_rates *rates, uint64_t now_ms,
                   const struct sfl_admin_counters *counters)
{
    enum { ITEMS = SFL_RATES_WINDOW + 1 };
    unsigned newest = rates->next;
    rates->items[newest].at_ms = now_ms;
    rates->items[newest].calls = counters->calls;
    rates->items[newest].executions = counters->executions;
    rates->items[newest].saved = counters->saved;
    rates->next = (newest + 1) % ITEMS;
    if (rates->count < ITEMS)
        rates->count++;
    unsigned oldest = rates->count < ITEMS ? 0 : rates->next;
    uint64_t elapsed_ms = now_ms - rates->items[oldest].at_ms;
    rates->calls_per_s = per_second(counters->calls, rates->items[oldest].calls, elapsed_ms);
    rates->executions_per_s =
        per_second(counters->executions, rates->items[oldest].executions, elapsed_ms);
    rates->saved_per_s = per_second(counters->saved, rates->items[oldest].saved, elapsed_ms);
}
