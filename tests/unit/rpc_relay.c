// SPDX-License-Identifier: Apache-2.0
#include "rpc_relay.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct relay {
    int listener;
    int port;
    int server_port;
    int stop[2];   // a pipe: its reader sees the end when the relay is to be cut
    int freeze[2]; // a pair: a byte asks for it, a byte answers
    pthread_t thread;
};

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// Passes on what there is to read; false at the end of the connection.
static bool pass_on(int from, int to)
{
    char bytes[65536];
    ssize_t size = recv(from, bytes, sizeof(bytes), 0);
    for (ssize_t at = 0; at < size;) {
        ssize_t sent = send(to, bytes + at, (size_t)(size - at), MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
    }
    return size > 0;
}

static void relay_connection(struct relay *relay, int client)
{
    struct sockaddr_in address = loopback(relay->server_port);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    int room = 8192; // so that a frozen relay holds little
    setsockopt(server, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    bool is_frozen = false;
    bool is_open = connect(server, (struct sockaddr *)&address, sizeof(address)) == 0;
    while (is_open) {
        short wanted = is_frozen ? 0 : POLLIN;
        struct pollfd fds[] = {{is_frozen ? -1 : client, wanted, 0},
                               {is_frozen ? -1 : server, wanted, 0},
                               {relay->stop[0], 0, 0},
                               {relay->freeze[0], POLLIN, 0}};
        char byte = 0;
        poll(fds, 4, -1);
        if (fds[2].revents != 0)
            is_open = false;
        else if (fds[3].revents != 0)
            is_frozen = read(relay->freeze[0], &byte, 1) == write(relay->freeze[0], &byte, 1);
        else if (fds[0].revents != 0)
            is_open = pass_on(client, server);
        else if (fds[1].revents != 0)
            is_open = pass_on(server, client);
    }
    close(server);
}

static void *relay_main(void *argument)
{
    struct relay *relay = argument;
    struct pollfd fds[] = {{relay->listener, POLLIN, 0}, {relay->stop[0], 0, 0}};
    poll(fds, 2, -1);
    if (fds[1].revents == 0) {
        int client = accept(relay->listener, NULL, NULL);
        relay_connection(relay, client);
        close(client);
    }
    close(relay->listener);
    return NULL;
}

struct relay *relay_create(int port)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    assert_non_null(relay);
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    relay->server_port = port;
    relay->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(relay->listener, 1), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&address, &size), 0);
    relay->port = ntohs(address.sin_port);
    assert_int_equal(pipe(relay->stop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, relay->freeze), 0);
    assert_int_equal(pthread_create(&relay->thread, NULL, relay_main, relay), 0);
    return relay;
}

int relay_port(const struct relay *relay)
{
    return relay->port;
}

void relay_cut(struct relay *relay)
{
    if (relay->stop[1] < 0)
        return;
    close(relay->stop[1]);
    relay->stop[1] = -1;
    pthread_join(relay->thread, NULL);
}

void relay_freeze(struct relay *relay)
{
    char byte = 0;
    assert_int_equal(write(relay->freeze[1], &byte, 1), 1);
    assert_int_equal(read(relay->freeze[1], &byte, 1), 1);
}

void relay_destroy(struct relay *relay)
{
    relay_cut(relay);
    close(relay->stop[0]);
    close(relay->freeze[0]);
    close(relay->freeze[1]);
    free(relay);
}
