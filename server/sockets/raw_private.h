// SPDX-License-Identifier: Apache-2.0
// Private to server/sockets: the system calls behind the libc functions that interpose.c puts
// itself in the place of. They set errno as those do.
#ifndef SFL_SOCKETS_RAW_PRIVATE_H
#define SFL_SOCKETS_RAW_PRIVATE_H

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline int sfl_raw_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return (int)syscall(SYS_accept4, fd, address, size, flags);
}

static inline int sfl_raw_listen(int fd, int backlog)
{
    return (int)syscall(SYS_listen, fd, backlog);
}

static inline int sfl_raw_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

static inline int sfl_raw_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    return (int)syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event);
}

static inline ssize_t sfl_raw_recvmsg(int fd, struct msghdr *message, int flags)
{
    return (ssize_t)syscall(SYS_recvmsg, fd, message, flags);
}

static inline ssize_t sfl_raw_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return (ssize_t)syscall(SYS_sendmsg, fd, message, flags);
}

#endif
