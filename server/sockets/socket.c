// SPDX-License-Identifier: Apache-2.0
#include "sockets/socket_private.h"

#include "base/clock.h"
#include "sockets/raw_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

// What one connection may have read before the others are looked after. gRPC reads until nothing is
// left, and a peer that sends faster than we read would hold the pump: its other connections, and
// what it has to send and to free. Small frames cost gRPC much more than their bytes do, so frames
// are counted, or bytes in a connection that we cannot look into. gRPC may read many times before
// it does anything with the bytes, so time alone does not tell.
#define TURN_WORK 1024
#define TURN_NS 2000000

// At most this much goes to gRPC at once, or a turn would be over long before it is seen to be.
#define READ_BYTES_MAX 32768

// gRPC asks twice: when it has bytes already it hands them on first, and comes back at once.
#define PAUSES 2

struct sfl_socket *sfl_socket_create(int fd, const struct sfl_http2_options *options)
{
    struct sfl_socket *socket = calloc(1, sizeof(*socket));
    if (socket == NULL)
        return NULL;
    socket->fd = fd;
    socket->is_listener = options == NULL;
    if (options != NULL)
        sfl_http2_init(&socket->http2, options);
    socket->epoll_fd = -1;
    pthread_mutex_init(&socket->lock, NULL);
    return socket;
}

void sfl_socket_destroy(struct sfl_socket *socket)
{
    sfl_http2_deinit(&socket->http2);
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

// Under the lock.
static void begin_turn(struct sfl_socket *socket)
{
    socket->is_in_turn = false;
    socket->http2.work = 0;
}

// Under the lock: false when the turn of others has come, and gRPC will be told again.
static bool may_read(struct sfl_socket *socket)
{
    if (socket->pauses == 0)
        return true;
    socket->pauses--;
    begin_turn(socket);
    return !remind(socket);
}

// Under the lock: notes a read, and whether the next one is to wait for its turn.
static void note_read(struct sfl_socket *socket, struct msghdr *message, ssize_t size)
{
    if (size <= 0 || !leaves_bytes(message)) {
        begin_turn(socket);
        return;
    }
    uint64_t now_ns = sfl_clock_now_ns();
    if (!socket->is_in_turn) {
        socket->is_in_turn = true;
        socket->since_ns = now_ns;
    }
    if (socket->http2.work > TURN_WORK || now_ns - socket->since_ns > TURN_NS)
        socket->pauses = PAUSES;
}

// Receives at most READ_BYTES_MAX, though there be room for more.
static ssize_t receive_some(int fd, struct msghdr *message, int flags)
{
    size_t count = message->msg_iovlen;
    size_t bytes = 0;
    size_t used = 0;
    while (used < count && bytes < READ_BYTES_MAX)
        bytes += message->msg_iov[used++].iov_len;
    if (bytes <= READ_BYTES_MAX)
        return sfl_raw_recvmsg(fd, message, flags);
    size_t excess = bytes - READ_BYTES_MAX;
    message->msg_iovlen = used;
    message->msg_iov[used - 1].iov_len -= excess;
    ssize_t size = sfl_raw_recvmsg(fd, message, flags);
    message->msg_iov[used - 1].iov_len += excess;
    message->msg_iovlen = count;
    return size;
}

// Under the lock.
static enum sfl_http2_verdict look_at_received(struct sfl_socket *socket,
                                               const struct msghdr *message, size_t size)
{
    enum sfl_http2_verdict verdict = SFL_HTTP2_PASS;
    for (size_t i = 0; size > 0 && verdict == SFL_HTTP2_PASS; i++) {
        const struct iovec *part = &message->msg_iov[i];
        size_t part_size = part->iov_len < size ? part->iov_len : size;
        verdict = sfl_http2_receive(&socket->http2, part->iov_base, part_size);
        size -= part_size;
    }
    return verdict;
}

ssize_t sfl_socket_receive(struct sfl_socket *socket, struct msghdr *message, int flags,
                           enum sfl_http2_verdict *verdict_out)
{
    *verdict_out = SFL_HTTP2_PASS;
    pthread_mutex_lock(&socket->lock);
    if (!may_read(socket)) {
        pthread_mutex_unlock(&socket->lock);
        errno = EAGAIN;
        return -1;
    }
    ssize_t size = receive_some(socket->fd, message, flags);
    int error = errno;
    if (size > 0)
        *verdict_out = look_at_received(socket, message, (size_t)size);
    note_read(socket, message, size);
    pthread_mutex_unlock(&socket->lock);
    errno = error;
    return size;
}

ssize_t sfl_socket_send(struct sfl_socket *socket, const struct msghdr *message, int flags)
{
    ssize_t size = sfl_raw_sendmsg(socket->fd, message, flags);
    if (size <= 0)
        return size;
    size_t left = (size_t)size;
    pthread_mutex_lock(&socket->lock);
    for (size_t i = 0; left > 0; i++) {
        const struct iovec *part = &message->msg_iov[i];
        size_t part_size = part->iov_len < left ? part->iov_len : left;
        sfl_http2_sent(&socket->http2, part->iov_base, part_size);
        left -= part_size;
    }
    pthread_mutex_unlock(&socket->lock);
    return size;
}
