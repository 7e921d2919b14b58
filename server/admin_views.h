// SPDX-License-Identifier: Apache-2.0
// What the page on the admin listener is shown of the daemon's parts, and may change of them.
#ifndef SFL_ADMIN_VIEWS_H
#define SFL_ADMIN_VIEWS_H

#include "admin/admin.h"
#include "config/settings.h"

// Sets all but what the metrics and probes need. The context is a struct sfl_admin_wiring.
void sfl_admin_views_set(struct sfl_admin_sources *sources);

// To whom keys are no secret while no file says who may what.
enum sfl_admin_audience sfl_admin_views_audience(const struct sfl_settings *settings);

#endif
