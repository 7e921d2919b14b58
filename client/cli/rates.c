// SPDX-License-Identifier: Apache-2.0
#include "cli/snapshot.h"

#include <string.h>

static const struct singleflight_stats *find(const struct sfl_cli_snapshot *snapshot,
                                             const char *address)
{
    for (size_t i = 0; i < snapshot->stats_count; i++) {
        if (strcmp(snapshot->stats[i].address, address) == 0)
            return &snapshot->stats[i];
    }
    return NULL;
}

struct sfl_cli_rates sfl_cli_rates_of(const struct sfl_cli_snapshot *snapshot,
                                      const struct singleflight_stats *stats)
{
    const struct singleflight_stats *past =
        snapshot->before == NULL ? NULL : find(snapshot->before, stats->address);
    // The server's own clock says how long that was, however long the answers took.
    if (past == NULL || past->uptime_ms >= stats->uptime_ms || past->calls > stats->calls)
        return (struct sfl_cli_rates){.is_known = false};
    double seconds = (double)(stats->uptime_ms - past->uptime_ms) / 1000;
    return (struct sfl_cli_rates){
        .is_known = true,
        .calls = (double)(stats->calls - past->calls) / seconds,
        .executions = (double)(stats->executions - past->executions) / seconds,
        .saved = (double)(stats->executions_saved - past->executions_saved) / seconds,
    };
}

double sfl_cli_saved_part(const struct singleflight_stats *stats)
{
    return stats->calls == 0 ? -1 : (double)stats->executions_saved / (double)stats->calls;
}
