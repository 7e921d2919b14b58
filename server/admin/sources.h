// SPDX-License-Identifier: Apache-2.0
// What the admin listener is handed: the daemon's parts as it sees them. Everything is called on
// the loop's thread; spans are borrowed until the call, or the visit, returns.
#ifndef SFL_ADMIN_SOURCES_H
#define SFL_ADMIN_SOURCES_H

#include "admin/page.h"
#include "base/bytes.h"
#include "base/histogram.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_security;

// The fields of each struct are those of its JSON object.
#define SFL_ADMIN_COUNTERS_LIST(X)                                                                 \
    X(calls)                                                                                       \
    X(executions)                                                                                  \
    X(saved)                                                                                       \
    X(retained_hits)                                                                               \
    X(leaders_lost)                                                                                \
    X(fenced)                                                                                      \
    X(forgets)                                                                                     \
    X(refused)                                                                                     \
    X(retain_refused)                                                                              \
    X(outcomes_lost)
#define SFL_ADMIN_CURRENT_LIST(X)                                                                  \
    X(flights)                                                                                     \
    X(callers)                                                                                     \
    X(retained)                                                                                    \
    X(held_bytes)                                                                                  \
    X(retained_bytes)                                                                              \
    X(connections)
#define SFL_ADMIN_LIMITS_LIST(X)                                                                   \
    X(flights)                                                                                     \
    X(callers)                                                                                     \
    X(held_bytes)                                                                                  \
    X(retained_bytes)                                                                              \
    X(connections)
#define SFL_ADMIN_GROUP_LIMITS_LIST(X)                                                             \
    X(flights)                                                                                     \
    X(callers)                                                                                     \
    X(held_bytes)                                                                                  \
    X(retained_bytes)                                                                              \
    X(joins_per_s)

#define SFL_ADMIN_NONE UINT64_MAX // of a number: there is none, and JSON says null

#define SFL_ADMIN_FIELD(name) uint64_t name;
struct sfl_admin_counters {
    SFL_ADMIN_COUNTERS_LIST(SFL_ADMIN_FIELD)
};
struct sfl_admin_current {
    SFL_ADMIN_CURRENT_LIST(SFL_ADMIN_FIELD)
};
struct sfl_admin_limits {
    SFL_ADMIN_LIMITS_LIST(SFL_ADMIN_FIELD)
};
struct sfl_admin_group_limits {
    SFL_ADMIN_GROUP_LIMITS_LIST(SFL_ADMIN_FIELD)
};
#undef SFL_ADMIN_FIELD

// All that is counted at one moment.
struct sfl_admin_counts {
    struct sfl_admin_counters counters;
    struct sfl_admin_current current;
    struct sfl_histogram flight_ms; // with sfl_bounds_ms, and so is the next one
    struct sfl_histogram wait_ms;
};

// A file, or several that belong together, which is read again when it changes.
struct sfl_admin_file {
    const char *name;         // a path
    bool is_failing;          // the newest is broken, and an older one in force
    const char *why;          // NULL: it does not fail
    int64_t not_after_unix_s; // of a certificate
};

enum { SFL_ADMIN_FILES_MAX = 4 };

struct sfl_admin_files {
    unsigned count;
    struct sfl_admin_file items[SFL_ADMIN_FILES_MAX];
};

struct sfl_admin_health {
    bool is_draining;
    bool has_store;
    bool is_store_failing;
    uint64_t store_bytes_waiting;
    const char *store_why; // NULL: it does not fail
    struct sfl_admin_files certificates;
    struct sfl_admin_files files;
};

struct sfl_admin_group {
    struct sfl_span name;
    uint64_t flights;
    uint64_t callers;
    uint64_t held_bytes;
    uint64_t retained_bytes; // SFL_ADMIN_NONE: it is not counted
    uint64_t calls;          // ever
    struct sfl_admin_group_limits limits;
};

enum sfl_admin_state {
    SFL_ADMIN_FINDING_HOME,
    SFL_ADMIN_LED,
    SFL_ADMIN_ORPHANED,
    SFL_ADMIN_RETAINED,
    SFL_ADMIN_NEXT,
    SFL_ADMIN_OVERDUE,
    SFL_ADMIN_FORGOTTEN,
    SFL_ADMIN_STATES,
};

struct sfl_admin_flight {
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span leader;
    enum sfl_admin_state state;
    const char *outcome; // static; NULL: it has none
    uint64_t callers;
    uint64_t age_ms;     // since its leader leads; of a retained one since it ended
    uint64_t lease_ms;   // so long it still holds; SFL_ADMIN_NONE: there is none
    uint64_t expires_ms; // so long it is still retained; SFL_ADMIN_NONE: it is not
    uint64_t attempt;
    uint64_t bytes;
    uint64_t token;
};

struct sfl_admin_run {
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span leader;
    struct sfl_span detail;
    const char *outcome; // static
    uint64_t began_ms;   // of the wall clock
    uint64_t ended_ms;
    uint64_t callers;
    uint64_t attempt;
    uint64_t bytes;
    uint64_t token;
};

// To whom keys are no secret where no file says who may what: to whom the gRPC port serves.
enum sfl_admin_audience {
    SFL_ADMIN_FOR_NOBODY,  // it demands what HTTP does not show
    SFL_ADMIN_FOR_MACHINE, // peers from this machine
    SFL_ADMIN_FOR_ALL,
};

// Where a visit goes on; starts as {0}.
struct sfl_admin_cursor {
    uint64_t at[2];
};

// Sees one of them; keeps nothing of it, and does not take long: somebody's lock is held.
typedef void sfl_admin_on_flight(void *visitor, const struct sfl_admin_flight *flight);
typedef void sfl_admin_on_run(void *visitor, const struct sfl_admin_run *run);
typedef void sfl_admin_on_group(void *visitor, const struct sfl_admin_group *group);

struct sfl_admin_sources {
    const char *version;
    const char *revision;
    uint64_t started_unix_ms;
    struct sfl_security *security;    // NULL: no file says who may what
    enum sfl_admin_audience audience; // then
    uint64_t key_bytes_max;
    uint64_t group_bytes_max;

    // NULL: new calls are taken; otherwise why not, static, one line with its end.
    const char *(*why_not_ready)(void *context);
    void (*write_metrics)(void *context, struct sfl_admin_page *page); // every family
    void (*count)(void *context, struct sfl_admin_counts *counts_out);
    void (*get_limits)(void *context, struct sfl_admin_limits *limits_out);
    // What it points to stays until the next call.
    void (*look_at_health)(void *context, struct sfl_admin_health *health_out);
    // Each looks at a bounded number of them; false at the end. One that comes or goes meanwhile
    // may be missed or seen twice. Runs come from the newest to the oldest.
    bool (*visit_flights)(void *context, struct sfl_admin_cursor *cursor,
                          sfl_admin_on_flight *visit, void *visitor);
    bool (*visit_runs)(void *context, struct sfl_admin_cursor *cursor, sfl_admin_on_run *visit,
                       void *visitor);
    bool (*visit_groups)(void *context, struct sfl_admin_cursor *cursor, sfl_admin_on_group *visit,
                         void *visitor);
    // Whether there was something to forget: a flight, or a retained outcome. `who`: for the log.
    bool (*forget)(void *context, struct sfl_span group, struct sfl_span key, const char *who);
    // Whether the flight with this token ran, and has been ended.
    bool (*end)(void *context, struct sfl_span group, struct sfl_span key, uint64_t token,
                const char *who);
    void *context;
};

#endif
