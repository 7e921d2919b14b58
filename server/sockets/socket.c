// SPDX-License-Identifier: Apache-2.0
#include "sockets/socket_private.h"

#include "base/clock.h"
#include "sockets/raw_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

// How long one connection is read on and on before the others are looked after. gRPC reads until
// nothing is left, and a peer that sends faster than we read would hold the pump: its other
// connections, and what it has to send and to free.
#define READING_MS 2
#define READS_BEFORE_CLOCK 8 // in a row; so the clock costs nothing where little comes

// gRPC asks twice: when it has bytes already it hands them on first, and comes back at once.
#define PAUSES 2

struct sfl_socket *sfl_socket_create(int fd, bool is_listener)
{
    struct sfl_socket *socket = calloc(1, sizeof(*socket));
    if (socket == NULL)
        return NULL;
    socket->fd = fd;
    socket->is_listener = is_listener;
    socket->epoll_fd = -1;
    pthread_mutex_init(&socket->lock, NULL);
    return socket;
}

void sfl_socket_destroy(struct sfl_socket *socket)
{
    pthread_mutex_destroy(&socket->lock);
    free(socket);
}

void sfl_socket_watched(struct sfl_socket *socket, int epoll_fd, const struct epoll_event *event)
{
    pthread_mutex_lock(&socket->lock);
    socket->epoll_fd = epoll_fd;
    socket->event = *event;
    pthread_mutex_unlock(&socket->lock);
}

// Under the lock.
static bool remind(struct sfl_socket *socket)
{
    return socket->epoll_fd >= 0 &&
           sfl_raw_epoll_ctl(socket->epoll_fd, EPOLL_CTL_MOD, socket->fd, &socket->event) == 0;
}

bool sfl_socket_remind(struct sfl_socket *socket)
{
    pthread_mutex_lock(&socket->lock);
    bool is_reminded = remind(socket);
    pthread_mutex_unlock(&socket->lock);
    return is_reminded;
}

// Whether gRPC will come back at once, as it does unless the kernel has said that nothing is left.
static bool leaves_bytes(struct msghdr *message)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    for (; part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == IPPROTO_TCP && part->cmsg_type == TCP_CM_INQ)
            return *(const int *)CMSG_DATA(part) != 0;
    }
    return true;
}

// Under the lock: notes a read, and whether the next one is to wait for its turn.
static void note_read(struct sfl_socket *socket, struct msghdr *message, ssize_t size)
{
    if (size <= 0 || !leaves_bytes(message)) {
        socket->reads = 0;
        return;
    }
    if (++socket->reads < READS_BEFORE_CLOCK)
        return;
    uint64_t now_ns = sfl_clock_now_ns();
    if (socket->reads == READS_BEFORE_CLOCK) {
        socket->since_ns = now_ns;
    } else if (now_ns - socket->since_ns > READING_MS * 1000000) {
        socket->reads = 0;
        socket->pauses = PAUSES;
    }
}

// Under the lock: false when the turn of others has come, and gRPC will be told again.
static bool may_read(struct sfl_socket *socket)
{
    if (socket->pauses == 0)
        return true;
    socket->pauses--;
    return !remind(socket);
}

ssize_t sfl_socket_receive(struct sfl_socket *socket, struct msghdr *message, int flags)
{
    pthread_mutex_lock(&socket->lock);
    if (!may_read(socket)) {
        pthread_mutex_unlock(&socket->lock);
        errno = EAGAIN;
        return -1;
    }
    ssize_t size = sfl_raw_recvmsg(socket->fd, message, flags);
    int error = errno;
    note_read(socket, message, size);
    pthread_mutex_unlock(&socket->lock);
    errno = error;
    return size;
}
