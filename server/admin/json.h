// SPDX-License-Identifier: Apache-2.0
// The JSON that the page and scripts read. Texts are made with malloc() and given to the caller;
// NULL: there is no memory. They hold no line break.
#ifndef SFL_ADMIN_JSON_H
#define SFL_ADMIN_JSON_H

#include "admin/groups.h"
#include "admin/history.h"
#include "admin/viewer.h"
#include "admin/window.h"

struct sfl_admin_status {
    uint64_t now_unix_ms;
    const struct sfl_admin_sources *sources;
    const struct sfl_admin_counts *counts;
    const struct sfl_admin_limits *limits;
    const struct sfl_rates *rates;
    const char *why_not_ready; // NULL: it is ready
    const struct sfl_admin_health *health;
    const struct sfl_groups *groups;
    const struct sfl_viewer *viewer;
};

char *sfl_json_status(const struct sfl_admin_status *status);

// The last hour, up to the newest point; without any, up to `now_unix_ms`.
char *sfl_json_history(const struct sfl_history *history, uint64_t now_unix_ms);
char *sfl_json_point(const struct sfl_history_point *point);

// Those from the offset on. With the rights on, each flight says what the viewer may do with it.
char *sfl_json_flights(const struct sfl_flights_window *window, const struct sfl_viewer *viewer);
char *sfl_json_runs(const struct sfl_runs_window *window);

// {"error": TEXT}, and {NAME: VALUE}.
char *sfl_json_error(const char *text);
char *sfl_json_truth(const char *name, bool value);

#endif
