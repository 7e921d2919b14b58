// SPDX-License-Identifier: Apache-2.0
#include "admin_wiring.h"

#include "admin_views.h"
#include "base/log.h"
#include "base/version.h"
#include "metrics.h"
#include "rpc/library.h"
#include "sockets/guard.h"
#include "start_problem.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

void sfl_count_network(const struct sfl_rpc_server *server, struct sfl_network_counts *counts_out)
{
    struct sfl_guard_counts guard = sfl_guard_counts();
    struct sfl_rpc_server_counts streams = sfl_rpc_server_counts(server);
    *counts_out = (struct sfl_network_counts){
        .connections_now = guard.connections_now,
        .connections_refused = guard.refused,
        .streams_now = streams.streams_now,
        .streams_silent_now = streams.silent_now,
        .streams_ended = streams.ended,
    };
}

// --- what a scrape sees ---

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

// 0 when it cannot be known.
static uint64_t count_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return 0;
    uint64_t count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1; // the folder itself
}

static struct sfl_process_counts count_process(uint64_t started_us)
{
    struct sfl_process_counts counts = {.start_time_seconds = (double)started_us / 1e6};
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        counts.cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        counts.max_fds = files.rlim_cur;
    size_t resident = 0;
    if (uv_resident_set_memory(&resident) == 0)
        counts.resident_bytes = resident;
    counts.open_fds = count_files();
    return counts;
}

static void count_rpc(const struct sfl_admin_wiring *wiring, struct sfl_snapshot *snapshot)
{
    const struct sfl_admin_parts *parts = &wiring->parts;
    snapshot->pump_count = sfl_pumps_count(parts->pumps);
    for (unsigned i = 0; i < snapshot->pump_count; i++) {
        snapshot->pumps[i] = sfl_pump_counts(sfl_pumps_get(parts->pumps, i));
        snapshot->outboxes[i] = sfl_transport_count_outboxes(parts->transport, i);
    }
    snapshot->methods = wiring->methods;
    snapshot->method_count = sfl_rpc_server_method_count(parts->server);
    for (size_t i = 0; i < snapshot->method_count; i++)
        wiring->methods[i] = sfl_rpc_server_count_method(parts->server, i);
    sfl_count_network(parts->server, &snapshot->network);
}

static void count_rights(struct sfl_security *security, struct sfl_snapshot *snapshot)
{
    struct sfl_security_counts counts = sfl_security_counts(security);
    memcpy(snapshot->denied, counts.denied, sizeof(snapshot->denied));
    snapshot->rights = (struct sfl_reload_counts){
        .is_in_use = true,
        .is_newest = counts.last_reload_was_good,
        .reloads = counts.reloads,
        .failures = counts.reloads_failed,
        .read_unix_ms = counts.last_good_unix_ms,
    };
}

static void count_tls(const struct sfl_door *door, struct sfl_snapshot *snapshot)
{
    const struct sfl_tls_counts *counts = sfl_door_tls_counts(door);
    if (counts == NULL)
        return;
    snapshot->tls = (struct sfl_tls_metrics){
        .files =
            {
                .is_in_use = true,
                .is_newest = counts->last_reload_was_good,
                .reloads = counts->reloads,
                .failures = counts->reloads_failed,
                .read_unix_ms = counts->last_good_unix_ms,
            },
        .handshakes = sfl_certificates_handshakes(door->certificates),
        .handshake_failures = sfl_library_handshake_failures(),
        .not_after_unix_s = counts->not_after_unix_s,
    };
}

static void count_traces(struct sfl_tracing *tracing, struct sfl_snapshot *snapshot)
{
    struct sfl_tracing_counts counts = sfl_tracing_counts(tracing);
    snapshot->traces = (struct sfl_trace_metrics){
        .is_in_use = true,
        .exported = counts.exported,
        .dropped = counts.dropped,
        .failed = counts.failed,
    };
}

static void write_metrics(void *context, struct sfl_admin_page *page)
{
    struct sfl_admin_wiring *wiring = context;
    const struct sfl_admin_parts *parts = &wiring->parts;
    const struct sfl_string_list *groups = &parts->settings->metrics_groups;
    struct sfl_snapshot snapshot = {
        .version = sfl_version(),
        .revision = sfl_revision(),
        .grpc = sfl_grpc_version(),
        .is_draining = sfl_transport_is_draining(parts->transport),
        .has_store = parts->store != NULL,
        .has_runs = parts->runs != NULL,
        .limits = parts->limits,
        .connections_max = parts->settings->connections_max,
        .groups = (const char *const *)groups->items,
        .group_stats = wiring->group_stats,
        .group_count = groups->count,
        .keeper = sfl_engine_keeper_state(parts->engine),
        .process = count_process(parts->started_us),
    };
    sfl_engine_survey(parts->engine, wiring->groups, groups->count, wiring->group_stats,
                      &snapshot.survey);
    count_rpc(wiring, &snapshot);
    if (parts->runs != NULL)
        snapshot.runs = sfl_runs_count(parts->runs);
    if (parts->store != NULL)
        sfl_store_count(parts->store, &snapshot.store);
    if (parts->security != NULL)
        count_rights(parts->security, &snapshot);
    count_tls(parts->door, &snapshot);
    if (parts->tracing != NULL)
        count_traces(parts->tracing, &snapshot);
    sfl_metrics_write(page, &snapshot);
}

static const char *why_not_ready(void *context)
{
    const struct sfl_admin_wiring *wiring = context;
    return sfl_transport_is_draining(wiring->parts.transport) ? "draining\n" : NULL;
}

// --- life ---

static bool take_room(struct sfl_admin_wiring *wiring, const struct sfl_string_list *names)
{
    wiring->methods =
        calloc(sfl_rpc_server_method_count(wiring->parts.server), sizeof(wiring->methods[0]));
    wiring->groups = calloc(names->count + 1, sizeof(wiring->groups[0]));
    wiring->group_stats = calloc(names->count + 1, sizeof(wiring->group_stats[0]));
    if (wiring->methods == NULL || wiring->groups == NULL || wiring->group_stats == NULL)
        return false;
    for (size_t i = 0; i < names->count; i++)
        wiring->groups[i] = sfl_span_of_text(names->items[i]);
    return true;
}

bool sfl_admin_wiring_open(struct sfl_admin_wiring *wiring, struct uv_loop_s *loop,
                           const struct sfl_admin_parts *parts)
{
    const char *address = parts->settings->admin_listen;
    struct sfl_admin_sources sources = {
        .version = sfl_version(),
        .revision = sfl_revision(),
        .started_unix_ms = parts->started_us / 1000,
        .security = parts->security,
        .audience = sfl_admin_views_audience(parts->settings),
        .key_bytes_max = parts->settings->key_bytes_max,
        .group_bytes_max = parts->settings->group_bytes_max,
        .why_not_ready = why_not_ready,
        .write_metrics = write_metrics,
        .context = wiring,
    };
    sfl_admin_views_set(&sources);
    *wiring = (struct sfl_admin_wiring){.parts = *parts, .bound = "too little memory"};
    if (address == NULL)
        return true;
    if (!take_room(wiring, &parts->settings->metrics_groups) ||
        sfl_admin_open(loop, address, &sources, &wiring->admin, wiring->bound) != SFL_OK) {
        sfl_start_problem("admin-listen", address, wiring->bound);
        sfl_admin_wiring_close(wiring);
        return false;
    }
    return true;
}

void sfl_admin_wiring_announce(const struct sfl_admin_wiring *wiring)
{
    if (wiring->admin == NULL)
        return;
    printf("singleflightd admin on http://%s\n", wiring->bound);
    fflush(stdout);
    sfl_log(SFL_LOG_INFO, "admin_listening", SFL_STR("address", wiring->bound));
}

void sfl_admin_wiring_close(struct sfl_admin_wiring *wiring)
{
    if (wiring->admin != NULL)
        sfl_admin_close(wiring->admin);
    free(wiring->methods);
    free(wiring->groups);
    free(wiring->group_stats);
    *wiring = (struct sfl_admin_wiring){.admin = NULL};
}
