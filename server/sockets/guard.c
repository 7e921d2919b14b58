// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // strerrordesc_np
#include "sockets/guard.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "sockets/guard_hooks_private.h"
#include "sockets/raw_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// Descriptors beside those of connections that the table has room for. The kernel gives out the
// lowest number that is free, so a connection's is never much above the number of connections.
#define OTHER_DESCRIPTORS 4096

// How long connections are refused before the rest of the pump's work has its turn.
#define REFUSING_MS 2

// So many connections in a row may fail before they are accepted.
#define FAILURES_MAX 256

static struct {
    struct sfl_guard_options options;
    struct sfl_http2_options http2;
    _Atomic(struct sfl_socket *) *sockets; // by descriptor; NULL while the guard is not open
    size_t socket_count;
    atomic_bool takes_listeners;
    atomic_bool owes; // listeners are to be reminded when a descriptor becomes free
    _Atomic uint64_t connections;
    _Atomic uint64_t refused;

    // Guards what follows.
    pthread_mutex_t lock;
    struct sfl_addresses addresses;
    struct sfl_socket *listeners;
    int spare; // a descriptor that is given up to accept, and so refuse, when there are no others
} guard = {.lock = PTHREAD_MUTEX_INITIALIZER, .spare = -1};

// --- its life ---

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void set_options(const struct sfl_guard_options *options)
{
    guard.options = *options;
    guard.http2 = (struct sfl_http2_options){
        .message_bytes_max = options->message_bytes_max,
        .unfinished_bytes_max = options->unfinished_bytes_max,
        .streams_max = options->streams_max,
        .seed = sfl_entropy_u64(),
        .reason_too_large = options->reason_too_large,
        .reason_connection_full = options->reason_connection_full,
    };
    memcpy(guard.http2.mark, options->mark, sizeof(guard.http2.mark));
}

enum sfl_status sfl_guard_open(const struct sfl_guard_options *options)
{
    set_options(options);
    size_t count = (size_t)options->connections_max + OTHER_DESCRIPTORS;
    _Atomic(struct sfl_socket *) *sockets = calloc(count, sizeof(*sockets));
    if (sockets == NULL)
        return SFL_NO_MEMORY;
    guard.spare = open_spare();
    if (guard.spare < 0 ||
        sfl_addresses_init(&guard.addresses, options->connections_max) != SFL_OK) {
        free(sockets);
        return SFL_NO_MEMORY;
    }
    guard.socket_count = count;
    guard.sockets = sockets;
    return SFL_OK;
}

void sfl_guard_close(void)
{
    if (guard.sockets == NULL)
        return;
    for (size_t i = 0; i < guard.socket_count; i++)
        sfl_guard_before_close((int)i);
    free(guard.sockets);
    guard.sockets = NULL;
    sfl_addresses_deinit(&guard.addresses);
    sfl_raw_close(guard.spare);
    guard.spare = -1;
}

void sfl_guard_listeners(bool is_on)
{
    atomic_store(&guard.takes_listeners, is_on);
}

struct sfl_guard_counts sfl_guard_counts(void)
{
    return (struct sfl_guard_counts){
        .connections_now = atomic_load_explicit(&guard.connections, memory_order_relaxed),
        .refused = atomic_load_explicit(&guard.refused, memory_order_relaxed),
    };
}

// --- the table ---

struct sfl_socket *sfl_guard_find(int fd)
{
    if (guard.sockets == NULL || fd < 0 || (size_t)fd >= guard.socket_count)
        return NULL;
    return atomic_load_explicit(&guard.sockets[fd], memory_order_acquire);
}

static bool has_room_for(int fd)
{
    return (size_t)fd < guard.socket_count;
}

void sfl_guard_on_listen(int fd)
{
    if (guard.sockets == NULL || !atomic_load(&guard.takes_listeners) || !has_room_for(fd) ||
        sfl_guard_find(fd) != NULL)
        return;
    struct sfl_socket *listener = sfl_socket_create(fd, NULL);
    if (listener == NULL)
        return;
    pthread_mutex_lock(&guard.lock);
    listener->next = guard.listeners;
    guard.listeners = listener;
    pthread_mutex_unlock(&guard.lock);
    atomic_store_explicit(&guard.sockets[fd], listener, memory_order_release);
}

// Under the lock.
static void forget_listener(struct sfl_socket *listener)
{
    struct sfl_socket **link = &guard.listeners;
    while (*link != listener)
        link = &(*link)->next;
    *link = listener->next;
}

void sfl_guard_before_close(int fd)
{
    if (sfl_guard_find(fd) == NULL)
        return;
    struct sfl_socket *socket = atomic_exchange(&guard.sockets[fd], NULL);
    if (socket == NULL)
        return;
    pthread_mutex_lock(&guard.lock);
    if (socket->is_listener) {
        forget_listener(socket);
    } else {
        sfl_addresses_remove(&guard.addresses, socket->address);
        atomic_fetch_sub_explicit(&guard.connections, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&guard.lock);
    sfl_socket_destroy(socket);
}

void sfl_guard_after_close(void)
{
    if (!atomic_load_explicit(&guard.owes, memory_order_acquire))
        return;
    int error = errno;
    pthread_mutex_lock(&guard.lock);
    if (guard.spare < 0)
        guard.spare = open_spare();
    if (guard.spare >= 0) {
        atomic_store(&guard.owes, false);
        for (struct sfl_socket *listener = guard.listeners; listener != NULL;
             listener = listener->next)
            sfl_socket_remind(listener);
    }
    pthread_mutex_unlock(&guard.lock);
    errno = error;
}

// --- accepting ---

static void describe(const struct sockaddr_storage *peer, char text_out[static INET6_ADDRSTRLEN])
{
    const struct in6_addr *six = &((const struct sockaddr_in6 *)peer)->sin6_addr;
    if (peer->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, text_out,
                  INET6_ADDRSTRLEN);
    else if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(six))
        inet_ntop(AF_INET, &six->s6_addr[12], text_out, INET6_ADDRSTRLEN);
    else if (peer->ss_family == AF_INET6)
        inet_ntop(AF_INET6, six, text_out, INET6_ADDRSTRLEN);
    else
        memcpy(text_out, "unix", sizeof("unix"));
}

static void note_refused(const char *limit, const struct sockaddr_storage *peer)
{
    char text[INET6_ADDRSTRLEN];
    describe(peer, text);
    atomic_fetch_add_explicit(&guard.refused, 1, memory_order_relaxed);
    sfl_log(SFL_LOG_WARN, "connection_refused", SFL_STR("limit", limit), SFL_STR("peer", text));
}

// Under the lock. Returns NULL, or which limit forbids it.
static const char *count_connection(struct sfl_socket *socket, const struct sockaddr_storage *peer)
{
    if (atomic_load_explicit(&guard.connections, memory_order_relaxed) >=
        guard.options.connections_max)
        return "connections-limit";
    enum sfl_status status = sfl_addresses_add(
        &guard.addresses, peer, guard.options.address_connections_max, &socket->address);
    if (status != SFL_OK)
        return status == SFL_NO_MEMORY ? "memory" : "address-connections-limit";
    atomic_fetch_add_explicit(&guard.connections, 1, memory_order_relaxed);
    return NULL;
}

// Takes a new connection into the table, or returns which limit forbids it.
static const char *admit(int fd, const struct sockaddr_storage *peer)
{
    if (!has_room_for(fd))
        return "descriptors";
    sfl_guard_before_close(fd); // in case one was closed behind our back
    struct sfl_socket *socket = sfl_socket_create(fd, &guard.http2);
    if (socket == NULL)
        return "memory";
    pthread_mutex_lock(&guard.lock);
    const char *limit = count_connection(socket, peer);
    pthread_mutex_unlock(&guard.lock);
    if (limit != NULL) {
        sfl_socket_destroy(socket);
        return limit;
    }
    atomic_store_explicit(&guard.sockets[fd], socket, memory_order_release);
    return NULL;
}

enum failure {
    FAILURE_OF_LISTENER, // it is closed, or nothing waits: gRPC's business
    FAILURE_OF_CONNECTION,
    FAILURE_OF_MACHINE,
};

// Errors of the network belong to the connection that was to be accepted (accept(2)).
static enum failure failure_of(int error)
{
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
        return FAILURE_OF_MACHINE;
    if (error == EAGAIN || error == EBADF || error == EINVAL || error == ENOTSOCK)
        return FAILURE_OF_LISTENER;
    return FAILURE_OF_CONNECTION;
}

// Under the lock: accepts one connection with the spare descriptor and closes it. Returns 0, or
// why there is nothing to accept or nothing to accept with.
static int refuse_with_spare(struct sfl_socket *listener)
{
    if (guard.spare < 0)
        guard.spare = open_spare();
    if (guard.spare < 0)
        return EMFILE;
    sfl_raw_close(guard.spare);
    int fd = sfl_raw_accept(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0)
        sfl_raw_close(fd);
    guard.spare = open_spare();
    return error;
}

// The same. Where there is nothing to accept with, that is said before it is tried once more: a
// descriptor that becomes free at this moment is either used here, or reminds the listeners.
static int refuse_or_owe(struct sfl_socket *listener)
{
    int error = refuse_with_spare(listener);
    if (failure_of(error) != FAILURE_OF_MACHINE)
        return error;
    atomic_store(&guard.owes, true);
    error = refuse_with_spare(listener);
    if (failure_of(error) != FAILURE_OF_MACHINE)
        atomic_store(&guard.owes, false);
    return error;
}

// There are no descriptors, or there is no memory for another connection: refuses those that wait.
static void refuse_waiting(struct sfl_socket *listener, int shortage)
{
    uint64_t refused = 0;
    uint64_t end_ms = sfl_clock_now_ms() + REFUSING_MS;
    int error = 0;
    pthread_mutex_lock(&guard.lock);
    while (error == 0 && sfl_clock_now_ms() < end_ms) {
        error = refuse_or_owe(listener);
        refused += error == 0;
    }
    pthread_mutex_unlock(&guard.lock);
    if (failure_of(error) == FAILURE_OF_CONNECTION) // or none: others may wait
        sfl_socket_remind(listener);
    atomic_fetch_add_explicit(&guard.refused, refused, memory_order_relaxed);
    sfl_log(SFL_LOG_ERROR, "cannot_accept", SFL_STR("reason", strerrordesc_np(shortage)),
            SFL_U64("refused", refused),
            SFL_U64("connections", atomic_load_explicit(&guard.connections, memory_order_relaxed)));
}

static int give_up(int error)
{
    errno = error;
    return -1;
}

// Accepts one connection, whatever the limits say. -1 for what is gRPC's to see, in errno. Errors
// of connections that follow one another without end are of the machine after all: then there is
// nothing to be seen now.
static int accept_any(struct sfl_socket *listener, struct sockaddr_storage *peer,
                      socklen_t *size_out, int flags)
{
    for (unsigned failures = 0; failures < FAILURES_MAX; failures++) {
        *size_out = sizeof(*peer);
        int fd = sfl_raw_accept(listener->fd, (struct sockaddr *)peer, size_out, flags);
        if (fd >= 0)
            return fd;
        int error = errno;
        switch (failure_of(error)) {
        case FAILURE_OF_LISTENER:
            return give_up(error);
        case FAILURE_OF_CONNECTION:
            break;
        case FAILURE_OF_MACHINE:
            refuse_waiting(listener, error);
            return give_up(EAGAIN);
        }
    }
    sfl_log(SFL_LOG_ERROR, "cannot_accept", SFL_STR("reason", strerrordesc_np(errno)));
    sfl_socket_remind(listener); // others go first
    return give_up(EAGAIN);
}

int sfl_guard_accept(struct sfl_socket *listener, struct sockaddr *address, socklen_t *size,
                     int flags)
{
    uint64_t end_ms = 0; // 0: none was refused so far
    for (;;) {
        struct sockaddr_storage peer = {0};
        socklen_t peer_size;
        int fd = accept_any(listener, &peer, &peer_size, flags);
        if (fd < 0)
            return -1;
        const char *limit = admit(fd, &peer);
        if (limit == NULL) {
            memcpy(address, &peer, peer_size < *size ? peer_size : *size);
            *size = peer_size;
            return fd;
        }
        note_refused(limit, &peer); // first, so that who sees the end finds it counted
        sfl_raw_close(fd);
        uint64_t now_ms = sfl_clock_now_ms();
        if (end_ms == 0)
            end_ms = now_ms + REFUSING_MS;
        if (now_ms > end_ms && sfl_socket_remind(listener))
            return give_up(EAGAIN);
    }
}

// --- reading ---

static const char *text_of(enum sfl_http2_verdict verdict)
{
    return verdict == SFL_HTTP2_HEADERS_FLOOD ? "a block of headers without end"
                                              : "more streams than allowed";
}

ssize_t sfl_guard_receive(struct sfl_socket *connection, struct msghdr *message, int flags)
{
    enum sfl_http2_verdict verdict;
    ssize_t size = sfl_socket_receive(connection, message, flags, &verdict);
    if (verdict == SFL_HTTP2_PASS)
        return size;
    struct sockaddr_storage peer = {0};
    socklen_t peer_size = sizeof(peer);
    getpeername(connection->fd, (struct sockaddr *)&peer, &peer_size);
    char text[INET6_ADDRSTRLEN];
    describe(&peer, text);
    atomic_fetch_add_explicit(&guard.refused, 1, memory_order_relaxed);
    sfl_log(SFL_LOG_WARN, "connection_ended", SFL_STR("reason", text_of(verdict)),
            SFL_STR("peer", text));
    shutdown(connection->fd, SHUT_RDWR);
    errno = ECONNRESET;
    return -1;
}
