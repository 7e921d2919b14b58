// SPDX-License-Identifier: Apache-2.0
// Merging equal remote calls: however many processes GET the same thing at the same time, the other
// side sees one request.  Usage: merge_remote_calls HOST PORT PATH
#include <netdb.h>
#include <singleflight.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// A GET in HTTP/1.0; the response, headers and all, is the value.
static enum singleflight_outcome get(struct singleflight_leader *leader, void *context)
{
    char **argv = context;
    char bytes[4096];
    struct addrinfo *address = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(argv[1], argv[2], &hints, &address) != 0)
        return singleflight_leader_error(leader, 1, "no such host");
    int peer = socket(address->ai_family, address->ai_socktype, 0);
    int size =
        snprintf(bytes, sizeof(bytes), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", argv[3], argv[1]);
    int failed = connect(peer, address->ai_addr, address->ai_addrlen) != 0 ||
                 send(peer, bytes, (size_t)size, MSG_NOSIGNAL) != size;
    freeaddrinfo(address);
    ssize_t got = 1;
    while (!failed && got > 0) {
        got = read(peer, bytes, sizeof(bytes));
        failed =
            got < 0 || singleflight_leader_write(leader, bytes, (size_t)got) != SINGLEFLIGHT_OK;
    }
    close(peer);
    if (!failed)
        return SINGLEFLIGHT_OUTCOME_OK;
    singleflight_leader_pass_on(leader); // our trouble need not be everybody's: the next one tries
    return singleflight_leader_error(leader, 2, "the call failed");
}

int main(int argc, char *argv[])
{
    struct singleflight_client *client;
    if (argc != 4 || singleflight_client_create(NULL, &client) != SINGLEFLIGHT_OK)
        return 64;
    char key[1024];
    snprintf(key, sizeof(key), "GET http://%s:%s%s", argv[1], argv[2], argv[3]);
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.group = "http";
    options.key = key;
    options.key_bytes = strlen(key);
    options.fail_open = true; // without a daemon, everybody calls for himself, as before
    options.timeout_ms = 30000;
    struct singleflight_result *result;
    int failed = singleflight_do(client, &options, get, argv, &result) != SINGLEFLIGHT_OK ||
                 result->outcome != SINGLEFLIGHT_OUTCOME_OK;
    if (failed)
        fprintf(stderr, "merge_remote_calls: %s\n", result->message);
    fwrite(result->value, 1, result->value_bytes, stdout);
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    return failed;
}
