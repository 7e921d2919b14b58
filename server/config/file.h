// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_CONFIG_FILE_H
#define SFL_CONFIG_FILE_H

#include "base/status.h"
#include "config/value.h"

// Gives the values of a config file (ini syntax without sections) to `values`, which runs beside
// the table. SFL_INVALID_ARGUMENT: problem_out says in a whole sentence what is wrong, with the
// file's name and the line; SFL_NOT_FOUND: the file cannot be read, likewise. The values are then
// unspecified, but released as ever.
SFL_MUST_USE enum sfl_status sfl_config_file_read(const char *path,
                                                  struct sfl_setting_value *values,
                                                  char problem_out[SFL_PROBLEM_MAX]);

#endif
