// SPDX-License-Identifier: Apache-2.0
// Private to server/sockets: one guarded socket, a listener or a connection that it accepted.
#ifndef SFL_SOCKETS_SOCKET_PRIVATE_H
#define SFL_SOCKETS_SOCKET_PRIVATE_H

#include "sockets/addresses_private.h"
#include "sockets/http2_private.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct sfl_socket {
    int fd;
    bool is_listener;
    struct sfl_socket *next;           // of the listeners
    struct sfl_address_count *address; // of a connection; NULL for a unix socket's

    // Guards what follows. gRPC reads a connection on one thread at a time, but writes it on
    // another meanwhile.
    pthread_mutex_t lock;
    int epoll_fd; // where gRPC waits for it; -1: not known yet
    struct epoll_event event;
    bool is_in_turn;   // the last read left bytes in the socket
    uint64_t since_ns; // the first such read
    uint32_t pauses;   // how many reads are still to be told that there is nothing
    struct sfl_http2 http2;
};

// `options` is borrowed; NULL for a listener. NULL when there is no memory.
struct sfl_socket *sfl_socket_create(int fd, const struct sfl_http2_options *options);
void sfl_socket_destroy(struct sfl_socket *socket);

// Remembers where gRPC waits for the socket.
void sfl_socket_watched(struct sfl_socket *socket, int epoll_fd, const struct epoll_event *event);

// gRPC is told of a socket once for each arrival, and may have been told of what is still waiting
// in it. This makes the kernel tell it again, if anything waits. False when gRPC does not wait for
// the socket by epoll.
bool sfl_socket_remind(struct sfl_socket *socket);

// What recvmsg and sendmsg do for a connection. After another verdict than PASS the connection is
// to be shut down; what was received is gRPC's to see all the same.
ssize_t sfl_socket_receive(struct sfl_socket *socket, struct msghdr *message, int flags,
                           enum sfl_http2_verdict *verdict_out);
ssize_t sfl_socket_send(struct sfl_socket *socket, const struct msghdr *message, int flags);

#endif
