// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // accept4
// The libc functions with which gRPC reaches its sockets. A program's own definition comes before
// libc's, for a gRPC that is linked in and for one in a shared library alike.
#include "sockets/guard_hooks_private.h"
#include "sockets/raw_private.h"

#define SFL_EXPORTED __attribute__((visibility("default")))

// libc's headers call the arguments __fd and the like.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)

SFL_EXPORTED int listen(int fd, int backlog)
{
    int result = sfl_raw_listen(fd, backlog);
    if (result == 0)
        sfl_guard_on_listen(fd);
    return result;
}

SFL_EXPORTED int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    struct sfl_socket *listener = sfl_guard_find(fd);
    if (listener == NULL || !listener->is_listener)
        return sfl_raw_accept(fd, address, size, flags);
    return sfl_guard_accept(listener, address, size, flags);
}

SFL_EXPORTED int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    int result = sfl_raw_epoll_ctl(epoll_fd, operation, fd, event);
    if (result == 0 && operation != EPOLL_CTL_DEL) {
        struct sfl_socket *socket = sfl_guard_find(fd);
        if (socket != NULL)
            sfl_socket_watched(socket, epoll_fd, event);
    }
    return result;
}

SFL_EXPORTED ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct sfl_socket *socket = flags == 0 ? sfl_guard_find(fd) : NULL;
    if (socket == NULL || socket->is_listener)
        return sfl_raw_recvmsg(fd, message, flags);
    return sfl_guard_receive(socket, message, flags);
}

SFL_EXPORTED ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct sfl_socket *socket = sfl_guard_find(fd);
    if (socket == NULL || socket->is_listener)
        return sfl_raw_sendmsg(fd, message, flags);
    return sfl_socket_send(socket, message, flags);
}

SFL_EXPORTED int close(int fd)
{
    sfl_guard_before_close(fd);
    int result = sfl_raw_close(fd);
    sfl_guard_after_close();
    return result;
}

// NOLINTEND(readability-inconsistent-declaration-parameter-name)
