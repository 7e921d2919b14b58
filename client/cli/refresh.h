// SPDX-License-Identifier: Apache-2.0
// --stale: the outcome that was served is renewed by another process of this tool, which nobody
// waits for.
#ifndef SFL_CLI_REFRESH_H
#define SFL_CLI_REFRESH_H

#include "cli/options.h"

// The tool starts itself with this word before its own, which is no part of the command line for
// people: singleflight SFL_CLI_REFRESH_WORD do ...
#define SFL_CLI_REFRESH_WORD "--refresh"

struct sfl_cli_run;

// Starts the process that renews the retained outcome.
void sfl_cli_refresh(struct sfl_cli_run *run);

// In that process: has an ordinary call made instead of one that may be served what is stale.
// Somebody else who renews it already is enough.
void sfl_cli_become_refresh(struct sfl_cli_options *options);

#endif
