// SPDX-License-Identifier: Apache-2.0
// What the admin listener is handed of the daemon's parts.
#ifndef SFL_ADMIN_WIRING_H
#define SFL_ADMIN_WIRING_H

#include "admin/admin.h"
#include "config/settings.h"
#include "door.h"
#include "engine/engine.h"
#include "rpc/server.h"
#include "runs/runs.h"
#include "security/security.h"
#include "store/store.h"
#include "tracing/tracing.h"
#include "transport/service.h"

// All borrowed until sfl_admin_wiring_close.
struct sfl_admin_parts {
    const struct sfl_settings *settings;
    const struct sfl_limits *limits;
    struct sfl_engine *engine;
    struct sfl_transport *transport;
    struct sfl_rpc_server *server;
    struct sfl_pumps *pumps;
    struct sfl_store *store;       // NULL: there is none
    struct sfl_runs *runs;         // NULL: they are not remembered
    struct sfl_security *security; // NULL: everybody may do everything
    struct sfl_quotas *quotas;     // NULL: groups have none
    const struct sfl_door *door;
    struct sfl_tracing *tracing; // NULL: no call is traced
    uint64_t started_us;         // of the wall clock
};

struct sfl_admin_wiring {
    struct sfl_admin_parts parts;
    struct sfl_admin *admin; // NULL: it is not wanted
    char bound[SFL_ADMIN_TEXT_MAX];
    struct sfl_span *groups; // that have a label of their own
    struct sfl_stats *group_stats;
    struct sfl_method_counts *methods;
    struct sfl_store_counts store; // these two: what the page was shown last
    char problem[SFL_SECURITY_PROBLEM_MAX];
};

// What GetStats and the metrics say of the network.
void sfl_count_network(const struct sfl_rpc_server *server, struct sfl_network_counts *counts_out);

// Listens where the settings say so. False, after a log line, when that cannot be. For the loop's
// thread.
bool sfl_admin_wiring_open(struct sfl_admin_wiring *wiring, struct uv_loop_s *loop,
                           const struct sfl_admin_parts *parts);

// Says where it listens, on standard output, if it does.
void sfl_admin_wiring_announce(const struct sfl_admin_wiring *wiring);

// Before the loop ends, and before the parts do. Harmless when it is not open.
void sfl_admin_wiring_close(struct sfl_admin_wiring *wiring);

#endif
