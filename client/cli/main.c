// SPDX-License-Identifier: Apache-2.0
#include "base/standard_files.h"
#include "cli/exec_child.h"
#include "cli/exit_code.h"
#include "cli/options.h"
#include "cli/subcommands.h"

#include <string.h>

static int run(const struct sfl_cli_options *options)
{
    switch (options->command) {
    case SFL_CLI_DO:
        return sfl_cli_do(options);
    case SFL_CLI_FORGET:
        return sfl_cli_forget(options);
    case SFL_CLI_STOP:
        return sfl_cli_stop(options);
    case SFL_CLI_RUNS:
        return sfl_cli_runs(options);
    case SFL_CLI_LIST:
        return sfl_cli_list(options);
    case SFL_CLI_TOP:
        return sfl_cli_top(options);
    case SFL_CLI_STATS:
        return sfl_cli_stats(options);
    }
    return SFL_CLI_EXIT_SOFTWARE;
}

int main(int argc, char *argv[])
{
    if (!sfl_standard_files_open())
        return SFL_CLI_EXIT_OS_ERROR;
    if (argc > 1 && strcmp(argv[1], SFL_CLI_EXEC_CHILD_WORD) == 0)
        return sfl_cli_exec_child(argc, argv);
    struct sfl_cli_options options;
    int exit_code;
    if (!sfl_cli_parse(argc, argv, stdout, stderr, &options, &exit_code))
        return exit_code;
    return run(&options);
}
