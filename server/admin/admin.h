// SPDX-License-Identifier: Apache-2.0
// The admin listener: plain HTTP for probes, for Prometheus and for people, on the loop's thread.
//
//   /livez    200 while the loop runs
//   /readyz   200 while new calls are taken, otherwise 503 and why not
//   /metrics  the metrics: Prometheus text, or OpenMetrics when that is asked for
//   /api/v1   what runs, what has run, and how it goes, as JSON; docs/page.md
//   /         the page that shows it
//
// It sees what it is handed and nothing else.
#ifndef SFL_ADMIN_ADMIN_H
#define SFL_ADMIN_ADMIN_H

#include "admin/sources.h"

struct sfl_admin;
struct uv_loop_s;

enum { SFL_ADMIN_TEXT_MAX = 300 };

// Listens on "HOST:PORT" (port 0: one that the system picks), and serves whenever the loop runs.
// `sources` is copied. `bound_out` gets "host:port" with the real port, or what is wrong:
// SFL_INVALID_ARGUMENT, SFL_UNAVAILABLE, SFL_NO_MEMORY. For the loop's thread.
enum sfl_status sfl_admin_open(struct uv_loop_s *loop, const char *address,
                               const struct sfl_admin_sources *sources,
                               struct sfl_admin **admin_out,
                               char bound_out[static SFL_ADMIN_TEXT_MAX]) SFL_MUST_USE;

// Ends every connection, and looks at the sources no more. Frees itself when the loop has run once
// more.
void sfl_admin_close(struct sfl_admin *admin);

#endif
