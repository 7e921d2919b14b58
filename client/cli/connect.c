// SPDX-License-Identifier: Apache-2.0
#include "cli/connect.h"

#include "cli/exit_code.h"
#include "cli/text.h"

#include <stdlib.h>

#define GRPC_VERBOSITY "GRPC_VERBOSITY"

int sfl_cli_complain(const struct sfl_cli_options *options, enum singleflight_status status)
{
    if (!options->quiet)
        sfl_cli_say("%s", singleflight_last_error());
    return sfl_cli_exit_of_status(status);
}

// gRPC would write lines of its own beside ours; it reads the variable when the first client is
// made. The command is to have the environment as it was. True: the user has said how much it
// writes.
static bool begin_quietly(void)
{
    bool is_set = getenv(GRPC_VERBOSITY) != NULL;
    if (!is_set)
        setenv(GRPC_VERBOSITY, "NONE", 0);
    return is_set;
}

struct singleflight_client *sfl_cli_connect(const struct sfl_cli_options *options,
                                            int *exit_code_out)
{
    struct singleflight_client_options client_options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    if (options->address_count != 0) {
        client_options.addresses = options->addresses;
        client_options.address_count = options->address_count;
    }
    client_options.tls_ca = options->tls_ca;
    client_options.tls_cert = options->tls_cert;
    client_options.tls_key = options->tls_key;
    client_options.tls_server_name = options->tls_server_name;
    client_options.token_file = options->token_file;
    client_options.connect_timeout_ms = sfl_cli_patience_ms(options);
    client_options.unsent_bytes_max = SFL_CLI_UNSENT_BYTES_MAX;
    client_options.result_bytes_max = options->result_bytes_max;
    struct singleflight_client *client = NULL;
    bool was_quiet = begin_quietly();
    enum singleflight_status status = singleflight_client_create(&client_options, &client);
    if (!was_quiet)
        unsetenv(GRPC_VERBOSITY);
    if (status == SINGLEFLIGHT_OK)
        return client;
    *exit_code_out = status == SINGLEFLIGHT_RESOURCE_EXHAUSTED ? SFL_CLI_EXIT_OS_ERROR
                                                               : sfl_cli_exit_of_status(status);
    if (!options->quiet)
        sfl_cli_say("%s", singleflight_last_error());
    return NULL;
}
