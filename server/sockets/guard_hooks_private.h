// SPDX-License-Identifier: Apache-2.0
// Private to server/sockets: what the libc functions of interpose.c ask the guard for.
#ifndef SFL_SOCKETS_GUARD_HOOKS_PRIVATE_H
#define SFL_SOCKETS_GUARD_HOOKS_PRIVATE_H

#include "sockets/socket_private.h"

// The guarded socket with this descriptor, or NULL.
struct sfl_socket *sfl_guard_find(int fd);

// A socket has begun to listen.
void sfl_guard_on_listen(int fd);

// accept4 on a guarded listener: the next connection that is within the limits. What is not is
// closed at once. Never fails for want of descriptors or memory: says EAGAIN then, and sees to it
// that gRPC is told again.
int sfl_guard_accept(struct sfl_socket *listener, struct sockaddr *address, socklen_t *size,
                     int flags);

// recvmsg on a guarded connection.
ssize_t sfl_guard_receive(struct sfl_socket *connection, struct msghdr *message, int flags);

// A descriptor is about to be closed, and was.
void sfl_guard_before_close(int fd);
void sfl_guard_after_close(void);

#endif
