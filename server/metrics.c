// SPDX-License-Identifier: Apache-2.0
#include "metrics.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void write_one(struct sfl_admin_page *page, enum sfl_metric_kind kind, const char *name,
                      const char *help, double value)
{
    sfl_admin_page_family(page, kind, name, help);
    sfl_admin_page_sample(page, NULL, value);
}

enum { WORD_MAX = 64 };

// The name of an enumerator as a label's value.
static void lower(const char *name, char word_out[static WORD_MAX])
{
    size_t i = 0;
    for (; i + 1 < WORD_MAX && name[i] != '\0'; i++)
        word_out[i] = (char)tolower((unsigned char)name[i]);
    word_out[i] = '\0';
}

static void write_named(struct sfl_admin_page *page, const char *label, const char *name,
                        uint64_t value)
{
    char word[WORD_MAX];
    lower(name, word);
    struct sfl_labels labels = sfl_labels_with(NULL, label, word);
    sfl_admin_page_sample(page, &labels, (double)value);
}

// --- flights and callers, by group ---

struct stats_row {
    enum sfl_metric_kind kind;
    const char *metric; // "": none
    const char *name;
    const char *role;
    const char *help;
    size_t offset;
};

static const struct stats_row stats_rows[] = {
#define ROW(field, kind, metric, role, number, help)                                               \
    {SFL_METRIC_##kind,                                                                            \
     metric,                                                                                       \
     "singleflight_" metric,                                                                       \
     role,                                                                                         \
     help,                                                                                         \
     offsetof(struct sfl_stats, field)},
    SFL_STATS_LIST(ROW)
#undef ROW
};

static uint64_t number_at(const void *counts, size_t offset)
{
    return *(const uint64_t *)((const char *)counts + offset);
}

static void write_stat(struct sfl_admin_page *page, const struct stats_row *row, const char *group,
                       uint64_t value)
{
    struct sfl_labels labels = {.count = 0};
    if (group != NULL)
        labels = sfl_labels_with(&labels, "group", group);
    if (row->role[0] != '\0')
        labels = sfl_labels_with(&labels, "role", row->role);
    sfl_admin_page_sample(page, &labels, (double)value);
}

static void write_stats_row(struct sfl_admin_page *page, const struct stats_row *row,
                            const struct sfl_snapshot *snapshot)
{
    uint64_t rest = number_at(&snapshot->survey.all, row->offset);
    if (snapshot->group_count == 0) {
        write_stat(page, row, NULL, rest);
        return;
    }
    for (size_t i = 0; i < snapshot->group_count; i++) {
        uint64_t value = number_at(&snapshot->group_stats[i], row->offset);
        write_stat(page, row, snapshot->groups[i], value);
        rest = rest > value ? rest - value : 0; // bytes are given back meanwhile
    }
    write_stat(page, row, "other", rest);
}

static void write_stats(struct sfl_admin_page *page, const struct sfl_snapshot *snapshot)
{
    for (size_t i = 0; i < sizeof(stats_rows) / sizeof(stats_rows[0]); i++) {
        const struct stats_row *row = &stats_rows[i];
        if (row->metric[0] == '\0')
            continue;
        if (row->help[0] != '\0') // the first of its metric
            sfl_admin_page_family(page, row->kind, row->name, row->help);
        write_stats_row(page, row, snapshot);
    }
}

// --- and as a whole ---

static void write_histogram(struct sfl_admin_page *page, const char *name, const char *help,
                            const struct sfl_histogram *histogram, const struct sfl_bounds *bounds,
                            double scale)
{
    const struct sfl_admin_page_histogram view = {
        .bounds = bounds->at,
        .counts = histogram->counts,
        .bound_count = bounds->count,
        .sum = histogram->sum,
        .scale = scale,
    };
    sfl_admin_page_family(page, SFL_METRIC_HISTOGRAM, name, help);
    sfl_admin_page_histogram(page, NULL, &view);
}

// "flights" of FLIGHTS_LIMIT; "flights_quota" of FLIGHTS_QUOTA.
static void write_limit(struct sfl_admin_page *page, const char *name, uint64_t value)
{
    static const char ending[] = "_LIMIT";
    char limit[WORD_MAX];
    snprintf(limit, sizeof(limit), "%s", name);
    size_t size = strlen(limit);
    if (size > strlen(ending) && strcmp(limit + size - strlen(ending), ending) == 0)
        limit[size - strlen(ending)] = '\0';
    write_named(page, "limit", limit, value);
}

static void write_tally(struct sfl_admin_page *page, const struct sfl_tally *tally)
{
    sfl_admin_page_family(page, SFL_METRIC_COUNTER, "singleflight_flights_ended",
                          "Flights that were led and have ended, by how: an outcome's kind, or "
                          "lost, ended or drained without one.");
#define END(name) write_named(page, "outcome", #name, tally->ended[SFL_END_##name]);
    SFL_END_LIST(END)
#undef END
    sfl_admin_page_family(page, SFL_METRIC_COUNTER, "singleflight_leader_losses",
                          "Leaders that were lost before they finished, by how.");
#define LOSS(name) write_named(page, "reason", #name, tally->losses[SFL_LOSS_##name]);
    SFL_LEADER_LOSS_LIST(LOSS)
#undef LOSS
    sfl_admin_page_family(page, SFL_METRIC_COUNTER, "singleflight_refused",
                          "Calls and results that were refused over a limit, by which.");
#define REFUSED(name, status, text)                                                                \
    if (SFL_##status == SFL_RESOURCE_EXHAUSTED)                                                    \
        write_limit(page, #name, tally->refused[SFL_REASON_##name]);
    SFL_REASON_LIST(REFUSED)
#undef REFUSED
    write_histogram(page, "singleflight_flight_duration_seconds",
                    "How long flights took, from the first lead to the end.", &tally->flight_ms,
                    &sfl_bounds_ms, 0.001);
    write_histogram(page, "singleflight_follower_wait_seconds",
                    "How long followers waited until they heard how their flight ended.",
                    &tally->wait_ms, &sfl_bounds_ms, 0.001);
    write_histogram(page, "singleflight_outcome_size_bytes", "How large outcomes' values were.",
                    &tally->outcome_bytes, &sfl_bounds_bytes, 1);
}

static void write_limits(struct sfl_admin_page *page, const struct sfl_snapshot *snapshot)
{
    const struct sfl_limits *limits = snapshot->limits;
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } gauges[] = {
        {"singleflight_overdue_leads", "Leaders whose lease is over while nobody wants the key.",
         snapshot->survey.overdue},
        {"singleflight_retained_bytes", "Bytes held for retained outcomes.",
         snapshot->survey.retained_bytes},
        {"singleflight_flights_limit", "Flights that may run.", limits->flights_max},
        {"singleflight_callers_limit", "Callers that there may be.", limits->callers_max},
        {"singleflight_held_limit_bytes", "Bytes that may be held for values.",
         limits->held_bytes_max},
        {"singleflight_retained_limit_bytes", "Bytes that retained outcomes may take.",
         limits->retained_bytes_max},
        {"singleflight_connections_limit", "Connections that there may be.",
         snapshot->connections_max},
    };
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        write_one(page, SFL_METRIC_GAUGE, gauges[i].name, gauges[i].help, (double)gauges[i].value);
}

// --- beneath them ---

// X(field, kind, metric, help) of a struct that `counts` points to.
#define WRITE_FIELD(field, kind, metric, help)                                                     \
    write_one(page, SFL_METRIC_##kind, "singleflight_" metric, help, (double)counts->field);

static void write_network(struct sfl_admin_page *page, const struct sfl_network_counts *counts)
{
    SFL_NETWORK_COUNTS_LIST(WRITE_FIELD)
}

static void write_runs(struct sfl_admin_page *page, const struct sfl_runs_counts *counts)
{
    SFL_RUNS_COUNTS_LIST(WRITE_FIELD)
}

static void write_state(struct sfl_admin_page *page, const struct sfl_keeper_state *counts)
{
    SFL_KEEPER_STATE_LIST(WRITE_FIELD)
}

static void write_store(struct sfl_admin_page *page, const struct sfl_snapshot *snapshot)
{
    write_state(page, &snapshot->keeper);
    write_one(page, SFL_METRIC_COUNTER, "singleflight_store_write_failures",
              "Writes to the data file that failed.", (double)snapshot->store.failures);
    write_histogram(page, "singleflight_store_sync_duration_seconds",
                    "How long writes to the data file took, the disk's sync included.",
                    &snapshot->store.write_us, &sfl_bounds_us, 0.000001);
}

static void write_pump(struct sfl_admin_page *page, unsigned pump, uint64_t value)
{
    char index[16];
    snprintf(index, sizeof(index), "%u", pump);
    struct sfl_labels labels = sfl_labels_with(NULL, "pump", index);
    sfl_admin_page_sample(page, &labels, (double)value);
}

// X(field, kind, metric, help) of an array of structs, `counts`, with one for each pump.
#define WRITE_FIELD_OF_PUMPS(field, kind, metric, help)                                            \
    sfl_admin_page_family(page, SFL_METRIC_##kind, "singleflight_" metric, help);                  \
    for (unsigned i = 0; i < pump_count; i++)                                                      \
        write_pump(page, i, counts[i].field);

static void write_pumps(struct sfl_admin_page *page, const struct sfl_pump_counts *counts,
                        unsigned pump_count)
{
    SFL_PUMP_COUNTS_LIST(WRITE_FIELD_OF_PUMPS)
}

static void write_outboxes(struct sfl_admin_page *page, const struct sfl_outbox_counts *counts,
                           unsigned pump_count)
{
    SFL_OUTBOX_COUNTS_LIST(WRITE_FIELD_OF_PUMPS)
}

// --- RPCs, in the words of those who watch gRPC servers ---

static const char *const codes[SFL_CODES] = {
    "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated",
};

// "/package.Service/Method" as two labels; what is no method of ours is "unknown".
static void write_method(struct sfl_admin_page *page, const char *path, const char *code,
                         uint64_t value)
{
    char service[WORD_MAX] = "unknown";
    const char *method = "unknown";
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    if (slash != NULL) {
        snprintf(service, sizeof(service), "%.*s", (int)(slash - path - 1), path + 1);
        method = slash + 1;
    }
    struct sfl_labels labels = sfl_labels_with(NULL, "grpc_service", service);
    labels = sfl_labels_with(&labels, "grpc_method", method);
    if (code != NULL)
        labels = sfl_labels_with(&labels, "grpc_code", code);
    sfl_admin_page_sample(page, &labels, (double)value);
}

static void write_methods(struct sfl_admin_page *page, const struct sfl_method_counts *methods,
                          size_t count)
{
    sfl_admin_page_family(page, SFL_METRIC_COUNTER, "grpc_server_started",
                          "RPCs that have begun. A Session is one, however many calls it has.");
    for (size_t i = 0; i < count; i++)
        write_method(page, methods[i].path, NULL, methods[i].started);
    sfl_admin_page_family(page, SFL_METRIC_COUNTER, "grpc_server_handled",
                          "RPCs that are over, by the status that they ended with.");
    for (size_t i = 0; i < count; i++) {
        for (unsigned code = 0; code < SFL_CODES; code++) {
            if (code == 0 || methods[i].handled[code] > 0)
                write_method(page, methods[i].path, codes[code], methods[i].handled[code]);
        }
    }
}

static void write_denied(struct sfl_admin_page *page, const uint64_t *denied)
{
    sfl_admin_page_family(page, SFL_METRIC_COUNTER, "singleflight_auth_denied",
                          "Calls that were denied, by why.");
    for (unsigned i = 0; i < SFL_AUTH_DENIED_KINDS; i++)
        write_named(page, "reason", sfl_auth_denied_word(i), denied[i]);
}

struct reload_row {
    const char *files;
    const struct sfl_reload_counts *counts;
};

// X(expression, kind, metric, help) of each row in use.
#define WRITE_RELOADS(expression, kind, metric, help)                                              \
    sfl_admin_page_family(page, SFL_METRIC_##kind, "singleflight_config_" metric, help);           \
    for (size_t i = 0; i < count; i++) {                                                           \
        const struct sfl_reload_counts *counts = rows[i].counts;                                   \
        struct sfl_labels labels = sfl_labels_with(NULL, "files", rows[i].files);                  \
        if (counts->is_in_use)                                                                     \
            sfl_admin_page_sample(page, &labels, (double)(expression));                            \
    }

static void write_reloads(struct sfl_admin_page *page, const struct reload_row *rows, size_t count)
{
    WRITE_RELOADS(counts->is_newest, GAUGE, "last_reload_successful",
                  "1 while the newest files are in force; 0: they are broken, and older ones are.")
    WRITE_RELOADS((double)counts->read_unix_ms / 1000, GAUGE, "last_reload_timestamp_seconds",
                  "When the files in force were read, in seconds since 1970.")
    WRITE_RELOADS(counts->reloads, COUNTER, "reloads",
                  "Times that files have changed and were read, broken ones too.")
    WRITE_RELOADS(counts->failures, COUNTER, "reload_failures",
                  "Times that files have changed and were broken.")
}

static void write_security(struct sfl_admin_page *page, const struct sfl_snapshot *snapshot)
{
    const struct sfl_tls_metrics *tls = &snapshot->tls;
    const struct reload_row rows[] = {
        {"rights", &snapshot->rights},
        {"tls", &tls->files},
    };
    if (snapshot->rights.is_in_use)
        write_denied(page, snapshot->denied);
    if (tls->files.is_in_use) {
        write_one(page, SFL_METRIC_COUNTER, "singleflight_tls_handshakes",
                  "TLS handshakes that have begun.", (double)tls->handshakes);
        write_one(page, SFL_METRIC_COUNTER, "singleflight_tls_handshake_failures",
                  "TLS handshakes that failed: the peer spoke no TLS, or had no good certificate. "
                  "Debian's gRPC tells of them; a current one, as in the images, does not.",
                  (double)tls->handshake_failures);
        write_one(page, SFL_METRIC_GAUGE,
                  "singleflight_tls_certificate_not_after_timestamp_seconds",
                  "When the certificate in force runs out, in seconds since 1970.",
                  (double)tls->not_after_unix_s);
    }
    if (snapshot->rights.is_in_use || tls->files.is_in_use)
        write_reloads(page, rows, sizeof(rows) / sizeof(rows[0]));
}

static void write_traces(struct sfl_admin_page *page, const struct sfl_trace_metrics *traces)
{
    write_one(page, SFL_METRIC_COUNTER, "singleflight_traces_exported",
              "Spans that the collector took.", (double)traces->exported);
    sfl_admin_page_family(page, SFL_METRIC_COUNTER, "singleflight_traces_dropped",
                          "Spans that were dropped: the queue was full, or the collector did not "
                          "take them.");
    write_named(page, "reason", "queue", traces->dropped);
    write_named(page, "reason", "collector", traces->failed);
}

static void write_process(struct sfl_admin_page *page, const struct sfl_process_counts *process)
{
    write_one(page, SFL_METRIC_COUNTER, "process_cpu_seconds", "CPU time that was used.",
              process->cpu_seconds);
    write_one(page, SFL_METRIC_GAUGE, "process_resident_memory_bytes", "Memory that is resident.",
              (double)process->resident_bytes);
    write_one(page, SFL_METRIC_GAUGE, "process_open_fds", "File descriptors that are open.",
              (double)process->open_fds);
    write_one(page, SFL_METRIC_GAUGE, "process_max_fds", "File descriptors that may be open.",
              (double)process->max_fds);
    write_one(page, SFL_METRIC_GAUGE, "process_start_time_seconds",
              "When the process started, in seconds since 1970.", process->start_time_seconds);
}

static void write_build(struct sfl_admin_page *page, const struct sfl_snapshot *snapshot)
{
    struct sfl_labels labels = sfl_labels_with(NULL, "version", snapshot->version);
    labels = sfl_labels_with(&labels, "revision", snapshot->revision);
    labels = sfl_labels_with(&labels, "grpc", snapshot->grpc);
    sfl_admin_page_family(page, SFL_METRIC_GAUGE, "singleflight_build_info",
                          "Always 1; the labels say what runs.");
    sfl_admin_page_sample(page, &labels, 1);
    write_one(page, SFL_METRIC_GAUGE, "singleflight_draining",
              "1 from the signal to end on, otherwise 0.", snapshot->is_draining);
}

void sfl_metrics_write(struct sfl_admin_page *page, const struct sfl_snapshot *snapshot)
{
    write_build(page, snapshot);
    write_stats(page, snapshot);
    write_tally(page, &snapshot->survey.tally);
    write_limits(page, snapshot);
    write_network(page, &snapshot->network);
    write_methods(page, snapshot->methods, snapshot->method_count);
    write_pumps(page, snapshot->pumps, snapshot->pump_count);
    write_outboxes(page, snapshot->outboxes, snapshot->pump_count);
    if (snapshot->has_runs)
        write_runs(page, &snapshot->runs);
    if (snapshot->has_store)
        write_store(page, snapshot);
    write_security(page, snapshot);
    if (snapshot->traces.is_in_use)
        write_traces(page, &snapshot->traces);
    write_process(page, &snapshot->process);
}
