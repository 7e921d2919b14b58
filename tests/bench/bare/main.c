// SPDX-License-Identifier: Apache-2.0
// usage: bench_bare [UNIX-SOCKET [CERTIFICATE KEY]]
//
// Listens on a port of 127.0.0.1 that the system picks, over TLS if it has a certificate, and on
// the socket, prints a line for each ("bench_bare listening on 127.0.0.1:40000"), and serves until
// it is killed.
#include "bench/bare/bare.h"

#include "bench/library.h"

#include <stdio.h>
#include <stdlib.h>

enum { DRAIN_MAX = 128 };

void bare_start(grpc_call *call, const grpc_op *ops, size_t count, struct bare_tag *tag)
{
    grpc_call_error error = grpc_call_start_batch(call, ops, count, tag, NULL);
    if (error != GRPC_CALL_OK) {
        fprintf(stderr, "bench_bare: %s\n", grpc_call_error_to_string(error));
        abort();
    }
}

static grpc_server_credentials *credentials_of(const char *certificate, const char *key)
{
    if (certificate == NULL)
        return grpc_insecure_server_credentials_create();
    grpc_ssl_pem_key_cert_pair pair = {bench_read_file(key), bench_read_file(certificate)};
    return grpc_ssl_server_credentials_create_ex(NULL, &pair, 1,
                                                 GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, NULL);
}

static void listen_on(struct bare_server *server, const char *address,
                      grpc_server_credentials *credentials)
{
    int port = grpc_server_add_http2_port(server->server, address, credentials);
    grpc_server_credentials_release(credentials);
    if (port == 0) {
        fprintf(stderr, "bench_bare: cannot listen on %s\n", address);
        exit(1);
    }
    if (address[0] == 'u')
        printf("bench_bare listening on %s\n", address);
    else
        printf("bench_bare listening on 127.0.0.1:%d\n", port);
}

// Handles the completions at hand, then sends what they produced.
static void serve(const struct bare_server *server)
{
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    for (unsigned i = 0; i < DRAIN_MAX; i++) {
        grpc_event event = grpc_completion_queue_next(server->queue, deadline, NULL);
        if (event.type != GRPC_OP_COMPLETE)
            break;
        const struct bare_tag *tag = event.tag;
        tag->on_done(tag->owner, event.success != 0);
        deadline = gpr_inf_past(GPR_CLOCK_MONOTONIC);
    }
    bare_session_flush();
}

int main(int argc, char **argv)
{
    char address[160];
    struct bare_server server;
    grpc_arg argument = {.type = GRPC_ARG_INTEGER,
                         .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
                         .value.integer = -1};
    grpc_channel_args arguments = {1, &argument};
    bench_library_start();
    server.server = grpc_server_create(&arguments, NULL);
    server.queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(server.server, server.queue, NULL);
    server.do_method = grpc_server_register_method(server.server, BENCH_DO, NULL,
                                                   GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    server.session_method =
        grpc_server_register_method(server.server, BENCH_SESSION, NULL, GRPC_SRM_PAYLOAD_NONE, 0);
    listen_on(&server, "127.0.0.1:0",
              credentials_of(argc > 3 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL));
    if (argc > 1) {
        snprintf(address, sizeof address, "unix:%s", argv[1]);
        listen_on(&server, address, grpc_insecure_server_credentials_create());
    }
    grpc_server_start(server.server);
    fflush(stdout);
    bare_do_listen(&server);
    bare_session_listen(&server);
    for (;;)
        serve(&server);
}
