// SPDX-License-Identifier: Apache-2.0
// The daemon's metrics: what a scrape sees, and how it is written down. docs/metrics.md is made of
// the same.
#ifndef SFL_METRICS_H
#define SFL_METRICS_H

#include "admin/page.h"
#include "engine/engine.h"
#include "rpc/server.h"
#include "runs/runs.h"
#include "security/security.h"
#include "store/store.h"
#include "transport/service.h"

struct sfl_process_counts {
    double cpu_seconds;
    double start_time_seconds; // since 1970
    uint64_t resident_bytes;
    uint64_t open_fds;
    uint64_t max_fds;
};

// Files that are read again when they change.
struct sfl_reload_counts {
    bool is_in_use;
    bool is_newest; // the newest are in force; otherwise they are broken
    uint64_t reloads;
    uint64_t failures;
    uint64_t read_unix_ms; // when those in force were read
};

struct sfl_tls_metrics {
    struct sfl_reload_counts files;
    uint64_t handshakes;
    uint64_t handshake_failures;
    int64_t not_after_unix_s; // of the certificate that new connections get
};

struct sfl_trace_metrics {
    bool is_in_use;
    uint64_t exported; // spans
    uint64_t dropped;  // there was no room
    uint64_t failed;   // the collector did not take them
};

// Everything is copied but for what is said to be borrowed.
struct sfl_snapshot {
    const char *version; // these three are static
    const char *revision;
    const char *grpc;
    bool is_draining;
    bool has_store;
    bool has_runs;
    const struct sfl_limits *limits; // borrowed
    uint64_t connections_max;
    struct sfl_survey survey;
    const char *const *groups; // borrowed: those that have a label of their own
    const struct sfl_stats *group_stats;
    size_t group_count;
    struct sfl_network_counts network;
    unsigned pump_count;
    struct sfl_pump_counts pumps[SFL_PUMPS_MAX];
    struct sfl_outbox_counts outboxes[SFL_PUMPS_MAX];
    const struct sfl_method_counts *methods; // borrowed
    size_t method_count;
    struct sfl_keeper_state keeper;
    struct sfl_store_counts store;
    struct sfl_runs_counts runs;
    uint64_t denied[SFL_AUTH_DENIED_KINDS];
    struct sfl_reload_counts rights;
    struct sfl_tls_metrics tls;
    struct sfl_trace_metrics traces;
    struct sfl_process_counts process;
};

void sfl_metrics_write(struct sfl_admin_page *page, const struct sfl_snapshot *snapshot);

#endif
