// SPDX-License-Identifier: Apache-2.0
#include "base/standard_files.h"
#include "cli/exec_child.h"
#include "cli/exit_code.h"
#include "cli/memory.h"
#include "cli/options.h"
#include "cli/refresh.h"
#include "cli/subcommands.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef SFL_STATIC
#include <nss.h>
#endif

// Linked with libc and OpenSSL inside, the tool loads nothing of the machine: the modules that
// nsswitch.conf and openssl.cnf name belong to another libc and another OpenSSL.
static void prepare_libraries(void)
{
    // By itself OpenSSL clears up in exit(), while threads of gRPC still shake hands.
    uint64_t how = OPENSSL_INIT_NO_ATEXIT;
#ifdef SFL_STATIC
    how |= OPENSSL_INIT_NO_LOAD_CONFIG;
    __nss_configure_lookup("hosts", "files dns");
#endif
    OPENSSL_init_crypto(how, NULL);
}

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
    case SFL_CLI_HEALTH:
        return sfl_cli_health(options);
    case SFL_CLI_TOKEN:
        return sfl_cli_token(options);
    }
    return SFL_CLI_EXIT_SOFTWARE;
}

int main(int argc, char *argv[])
{
    if (!sfl_standard_files_open())
        return SFL_CLI_EXIT_OS_ERROR;
    if (argc > 1 && strcmp(argv[1], SFL_CLI_EXEC_CHILD_WORD) == 0)
        return sfl_cli_exec_child(argc, argv);
    prepare_libraries();
    // getopt changes the order of argv.
    char **words = sfl_cli_allocate(((size_t)argc + 1) * sizeof(*words));
    memcpy(words, argv, (size_t)argc * sizeof(*words));
    bool refreshes = argc > 1 && strcmp(argv[1], SFL_CLI_REFRESH_WORD) == 0;
    if (refreshes)
        argv++, argc--;
    struct sfl_cli_options options = {0};
    int exit_code;
    if (sfl_cli_parse(argc, argv, stdout, stderr, &options, &exit_code)) {
        options.words = words;
        if (refreshes)
            sfl_cli_become_refresh(&options);
        exit_code = run(&options);
    }
    sfl_cli_options_deinit(&options);
    free(words);
    return exit_code;
}
