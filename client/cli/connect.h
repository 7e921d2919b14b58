// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_CLI_CONNECT_H
#define SFL_CLI_CONNECT_H

#include "cli/options.h"

// How much of the output may wait to be sent, and as much again to be printed, before the command
// has to wait.
#define SFL_CLI_UNSENT_BYTES_MAX ((size_t)1 << 20)

// Makes the client that the options ask for. NULL: the error has been told, and *exit_code_out is
// the code to exit with. To be destroyed by singleflight_client_destroy().
struct singleflight_client *sfl_cli_connect(const struct sfl_cli_options *options,
                                            int *exit_code_out);

// Tells on standard error what the last function of the library complained about, unless the
// options say --quiet. Returns the code to exit with.
int sfl_cli_complain(const struct sfl_cli_options *options, enum singleflight_status status);

#endif
