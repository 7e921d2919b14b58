// SPDX-License-Identifier: Apache-2.0
// The subcommands; each returns the code to exit with.
#ifndef SFL_CLI_SUBCOMMANDS_H
#define SFL_CLI_SUBCOMMANDS_H

#include "cli/options.h"

int sfl_cli_do(const struct sfl_cli_options *options);
int sfl_cli_forget(const struct sfl_cli_options *options);
int sfl_cli_stop(const struct sfl_cli_options *options);
int sfl_cli_runs(const struct sfl_cli_options *options);
int sfl_cli_list(const struct sfl_cli_options *options);
int sfl_cli_stats(const struct sfl_cli_options *options);
int sfl_cli_health(const struct sfl_cli_options *options);
int sfl_cli_token(const struct sfl_cli_options *options);
int sfl_cli_top(const struct sfl_cli_options *options);

#endif
