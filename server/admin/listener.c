// SPDX-License-Identifier: Apache-2.0
#include "admin/listener.h"

#include "base/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 64 };

// Returns the socket, or -1 with errno.
static int open_socket(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); // of connections that have ended
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof(bound);
    getsockname(fd, (struct sockaddr *)&bound, &size);
    if (bound.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&bound)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&bound)->sin_port);
}

enum sfl_status sfl_admin_listen(const char *address, int *fd_out,
                                 char bound_out[static SFL_ADMIN_TEXT_MAX])
{
    struct sfl_address parts;
    if (!sfl_address_split(address, &parts)) {
        snprintf(bound_out, SFL_ADMIN_TEXT_MAX, "must be HOST:PORT");
        return SFL_INVALID_ARGUMENT;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(parts.host, parts.port, &hints, &found);
    if (error != 0) {
        snprintf(bound_out, SFL_ADMIN_TEXT_MAX, "%s", gai_strerror(error));
        return SFL_INVALID_ARGUMENT;
    }
    int fd = -1;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = open_socket(at);
    if (fd < 0)
        snprintf(bound_out, SFL_ADMIN_TEXT_MAX, "%s", strerror(errno));
    else
        snprintf(bound_out, SFL_ADMIN_TEXT_MAX, "%s:%u", parts.host_as_written, port_of(fd));
    freeaddrinfo(found);
    *fd_out = fd;
    return fd < 0 ? SFL_UNAVAILABLE : SFL_OK;
}
