// SPDX-License-Identifier: Apache-2.0
// What the page on the admin listener is shown of the daemon's parts, and may change of them.
#ifndef SFL_ADMIN_VIEWS_H
#define SFL_ADMIN_VIEWS_H

#include "admin/admin.h"

// Sets all but what the metrics and probes need. The context is a struct sfl_admin_wiring.
void sfl_admin_views_set(struct sfl_admin_sources *sources);

#endif
