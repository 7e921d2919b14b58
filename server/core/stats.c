// SPDX-License-Identifier: Apache-2.0
#include "core/stats.h"

void sfl_stats_add(struct sfl_stats *sum, const struct sfl_stats *more)
{
#define SFL_STATS_ADD(field, kind, metric, role, number, help) sum->field += more->field;
    SFL_STATS_LIST(SFL_STATS_ADD)
#undef SFL_STATS_ADD
}

static void add_all(uint64_t *sum, const uint64_t *more, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sum[i] += more[i];
}

void sfl_tally_add(struct sfl_tally *sum, const struct sfl_tally *more)
{
    add_all(sum->ended, more->ended, SFL_ENDS);
    add_all(sum->losses, more->losses, SFL_LOSSES);
    add_all(sum->refused, more->refused, SFL_REASON_NONE);
    sfl_histogram_merge(&sum->flight_ms, &more->flight_ms);
    sfl_histogram_merge(&sum->wait_ms, &more->wait_ms);
    sfl_histogram_merge(&sum->outcome_bytes, &more->outcome_bytes);
}
