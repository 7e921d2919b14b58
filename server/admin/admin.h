// SPDX-License-Identifier: Apache-2.0
// The admin listener: plain HTTP for probes and for Prometheus, on the loop's thread.
//
//   /livez    200 while the loop runs
//   /readyz   200 while new calls are taken, otherwise 503 and why not
//   /metrics  the metrics: Prometheus text, or OpenMetrics when that is asked for
//   /         what there is
//
// It sees what it is handed and nothing else.
#ifndef SFL_ADMIN_ADMIN_H
#define SFL_ADMIN_ADMIN_H

#include "admin/page.h"

struct sfl_admin;
struct uv_loop_s;

// Called on the loop's thread.
struct sfl_admin_sources {
    // NULL: it is ready; otherwise why not, static, one line.
    const char *(*why_not_ready)(void *context);
    // Writes every family.
    void (*write_metrics)(void *context, struct sfl_admin_page *page);
    void *context;
};

enum { SFL_ADMIN_TEXT_MAX = 300 };

// Listens on "HOST:PORT" (port 0: one that the system picks), and serves whenever the loop runs.
// `sources` is copied. `bound_out` gets "host:port" with the real port, or what is wrong:
// SFL_INVALID_ARGUMENT, SFL_UNAVAILABLE, SFL_NO_MEMORY. For the loop's thread.
enum sfl_status sfl_admin_open(struct uv_loop_s *loop, const char *address,
                               const struct sfl_admin_sources *sources,
                               struct sfl_admin **admin_out,
                               char bound_out[static SFL_ADMIN_TEXT_MAX]) SFL_MUST_USE;

// Ends every connection. Frees itself when the loop has run once more.
void sfl_admin_close(struct sfl_admin *admin);

#endif
