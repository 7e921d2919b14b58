// SPDX-License-Identifier: Apache-2.0
// Why the daemon does not start. All of it has one shape, as faults of the settings have: one line
// on standard error, whatever the format of the log, "singleflightd: SETTING VALUE: WHY".
#ifndef SFL_START_PROBLEM_H
#define SFL_START_PROBLEM_H

#include "config/settings.h"

void sfl_start_problem(const char *setting, const char *value, const char *why);

// The same for a file: `why` begins with the path that a setting names.
void sfl_start_file_problem(const struct sfl_settings *settings, const char *why);

// Too little memory or too few files.
void sfl_start_without_room(void);

#endif
