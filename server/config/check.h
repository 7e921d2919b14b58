// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_CONFIG_CHECK_H
#define SFL_CONFIG_CHECK_H

#include "base/status.h"
#include "config/settings.h"
#include "config/value.h"

// Works out the automatic values and then looks at settings that depend on each other.
// SFL_INVALID_ARGUMENT: problem_out names the settings, their values, and what would be right.
SFL_MUST_USE enum sfl_status sfl_settings_complete(struct sfl_settings *settings,
                                                   char problem_out[SFL_PROBLEM_MAX]);

#endif
