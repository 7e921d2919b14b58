// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // accept4
#include "relay.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNECTIONS_MAX 64

enum order {
    CUT = 'c',    // close what is open
    REFUSE = 'r', // the same, and close what comes
    ACCEPT = 'a',
    HOLD = 'h',    // leave what comes where it is
    SWALLOW = 'w', // throw it away
    STOP = 's',
};

struct relay {
    int listener;
    int orders[2]; // a pair of sockets: orders one way, one byte back for each
    pthread_t thread;
    char address[32];
    struct sockaddr_in server;
    bool refuses;
    bool holds;
    bool swallows;
    size_t count;
    int ends[CONNECTIONS_MAX][2]; // client, server
};

static void close_pair(struct relay *relay, size_t at)
{
    // Not lingering: the peers see a reset, as when a machine goes down.
    const struct linger linger = {1, 0};
    for (int side = 0; side < 2; side++) {
        setsockopt(relay->ends[at][side], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(relay->ends[at][side]);
    }
    relay->count--;
    memcpy(relay->ends[at], relay->ends[relay->count], sizeof(relay->ends[at]));
}

static void accept_one(struct relay *relay)
{
    int client = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool works = !relay->refuses && relay->count < CONNECTIONS_MAX &&
                 connect(server, (struct sockaddr *)&relay->server, sizeof(relay->server)) == 0;
    if (!works) {
        close(client);
        close(server);
        return;
    }
    relay->ends[relay->count][0] = client;
    relay->ends[relay->count][1] = server;
    relay->count++;
}

// False when the connection is over.
static bool pass_on(const struct relay *relay, int from, int to)
{
    char bytes[65536];
    ssize_t size = recv(from, bytes, sizeof(bytes), 0);
    for (ssize_t at = 0; at < size && !relay->swallows;) {
        ssize_t sent = send(to, bytes + at, (size_t)(size - at), MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
    }
    return size > 0;
}

// Returns the order that was carried out.
static char obey(struct relay *relay)
{
    char order = STOP;
    if (read(relay->orders[1], &order, 1) != 1)
        return STOP;
    relay->refuses = order == REFUSE;
    bool breaks = order == CUT || order == REFUSE || order == STOP || relay->swallows;
    relay->holds = order == HOLD;
    relay->swallows = order == SWALLOW;
    if (breaks)
        while (relay->count > 0)
            close_pair(relay, relay->count - 1);
    (void)!write(relay->orders[1], &order, 1);
    return order;
}

static void *run(void *argument)
{
    struct relay *relay = argument;
    for (;;) {
        struct pollfd fds[2 + 2 * CONNECTIONS_MAX] = {
            {relay->orders[1], POLLIN, 0},
            {relay->listener, POLLIN, 0},
        };
        size_t count = relay->holds ? 0 : relay->count;
        for (size_t i = 0; i < count; i++)
            for (size_t side = 0; side < 2; side++)
                fds[2 + 2 * i + side] = (struct pollfd){relay->ends[i][side], POLLIN, 0};
        poll(fds, 2 + 2 * count, -1);
        for (size_t i = count; i-- > 0;) {
            bool open = true;
            for (size_t side = 0; side < 2 && open; side++)
                if (fds[2 + 2 * i + side].revents != 0)
                    open = pass_on(relay, relay->ends[i][side], relay->ends[i][1 - side]);
            if (!open)
                close_pair(relay, i);
        }
        if (fds[1].revents != 0)
            accept_one(relay);
        if (fds[0].revents != 0 && obey(relay) == STOP)
            return NULL;
    }
}

struct relay *relay_create(const char *address)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    assert_non_null(relay);
    relay->server = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(own);
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&own, size), 0);
    assert_int_equal(listen(relay->listener, 16), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&own, &size), 0);
    snprintf(relay->address, sizeof(relay->address), "127.0.0.1:%d", ntohs(own.sin_port));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, relay->orders), 0);
    assert_int_equal(pthread_create(&relay->thread, NULL, run, relay), 0);
    return relay;
}

const char *relay_address(const struct relay *relay)
{
    return relay->address;
}

static void order(struct relay *relay, char order)
{
    assert_int_equal(write(relay->orders[0], &order, 1), 1);
    assert_int_equal(read(relay->orders[0], &order, 1), 1);
}

void relay_cut(struct relay *relay, bool refuses)
{
    order(relay, refuses ? REFUSE : CUT);
}

void relay_accept(struct relay *relay)
{
    order(relay, ACCEPT);
}

void relay_silence(struct relay *relay, bool swallows)
{
    order(relay, swallows ? SWALLOW : HOLD);
}

void relay_destroy(struct relay *relay)
{
    order(relay, STOP);
    pthread_join(relay->thread, NULL);
    close(relay->listener);
    close(relay->orders[0]);
    close(relay->orders[1]);
    free(relay);
}
