// SPDX-License-Identifier: Apache-2.0
// The settings that all on this machine share: /etc/singleflight.conf, or the file that
// $SINGLEFLIGHT_CONFIG names.
#ifndef SFL_CLI_SETTINGS_FILE_H
#define SFL_CLI_SETTINGS_FILE_H

#include "cli/options.h"

#include <stdbool.h>
#include <stdio.h>

// Gives options what neither the command line nor the environment has said. False: the file is
// wrong, `err` has been told, and the tool is to exit with SFL_CLI_EXIT_CONFIG. No
// /etc/singleflight.conf is fine.
__attribute__((warn_unused_result)) bool sfl_cli_read_settings(struct sfl_cli_options *options,
                                                               FILE *err);

#endif
