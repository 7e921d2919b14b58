// SPDX-License-Identifier: Apache-2.0
// The daemon's metrics: what a scrape sees, and how it is written down. docs/metrics.md is made of
// the same.
#ifndef SFL_METRICS_H
#define SFL_METRICS_H

#include "admin/page.h"
#include "engine/engine.h"
#include "transport/service.h"

struct sfl_process_counts {
    double cpu_seconds;
    double start_time_seconds; // since 1970
    uint64_t resident_bytes;
    uint64_t open_fds;
    uint64_t max_fds;
};

// Everything is copied but for what is said to be borrowed.
struct sfl_snapshot {
    const char *version; // these three are static
    const char *revision;
    const char *grpc;
    bool is_draining;
    bool has_store;
    const struct sfl_limits *limits; // borrowed
    uint64_t connections_max;
    struct sfl_survey survey;
    const char *const *groups; // borrowed: those that have a label of their own
    const struct sfl_stats *group_stats;
    size_t group_count;
    struct sfl_network_counts network;
    struct sfl_keeper_state keeper;
    struct sfl_process_counts process;
};

void sfl_metrics_write(struct sfl_admin_page *page, const struct sfl_snapshot *snapshot);

#endif
