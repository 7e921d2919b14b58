// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_ASK_HEALTH_H
#define SFL_ASK_HEALTH_H

#include "config/settings.h"

// Asks the daemon that has these settings, on this machine, whether it takes calls: by /readyz of
// its admin port, within two seconds. Returns 0 when it does, after a line on standard output, and
// otherwise 1, after one on standard error that says why not.
int sfl_ask_health(const struct sfl_settings *settings);

#endif
