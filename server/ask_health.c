// SPDX-License-Identifier: Apache-2.0
#include "ask_health.h"

#include "base/address.h"
#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 2000, // for all of it
    ANSWER_MAX = 1024,  // of which the rest is not of interest
};

#define REQUEST "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n"

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("singleflightd: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_FAILURE;
}

// Waits until the socket is ready for that. 0, or an errno.
static int wait_for(int fd, short events, uint64_t until_ms)
{
    struct pollfd waited = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now_ms = sfl_clock_now_ms();
        if (now_ms >= until_ms)
            return ETIMEDOUT;
        int ready = poll(&waited, 1, (int)(until_ms - now_ms));
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return errno;
    }
}

// 0 and a connected socket, or an errno.
static int connect_to(const struct addrinfo *at, uint64_t until_ms, int *fd_out)
{
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return errno;
    int error = connect(fd, at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        socklen_t size = sizeof(error);
        error = wait_for(fd, POLLOUT, until_ms);
        if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
    }
    if (error == 0)
        *fd_out = fd;
    else
        close(fd);
    return error;
}

// Asks, and reads what comes until the other side closes. 0, or an errno.
static int exchange(int fd, uint64_t until_ms, char answer_out[ANSWER_MAX])
{
    if (send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL) != (ssize_t)strlen(REQUEST))
        return errno;
    size_t size = 0;
    for (;;) {
        int error = wait_for(fd, POLLIN, until_ms);
        if (error != 0)
            return error;
        ssize_t got = recv(fd, answer_out + size, ANSWER_MAX - 1 - size, 0);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return errno;
        if (got > 0)
            size += (size_t)got;
        if (got == 0 || size == ANSWER_MAX - 1)
            break;
    }
    answer_out[size] = '\0';
    return 0;
}

// The 200 of "HTTP/1.1 200 OK"; 0 when it is no such line.
static int read_status(const char *answer)
{
    static const char begin[] = "HTTP/1.";
    if (strncmp(answer, begin, strlen(begin)) != 0)
        return 0;
    const char *digits = answer + strcspn(answer, " \r\n");
    digits += strspn(digits, " ");
    return strspn(digits, "0123456789") == 3 ? (int)strtol(digits, NULL, 10) : 0;
}

// The daemon's status line, headers, and a line that says why not.
static int judge(const char *address, const char *answer)
{
    int status = read_status(answer);
    if (status == 0)
        return complain("what answers at %s is no singleflightd", address);
    const char *body = strstr(answer, "\r\n\r\n");
    body = body == NULL ? "" : body + 4;
    int size = (int)strcspn(body, "\r\n");
    if (status != 200 || strncmp(body, "ready", 5) != 0)
        return complain("the daemon at %s is not ready: %d %.*s", address, status, size, body);
    puts("ready");
    return EXIT_SUCCESS;
}

// Whoever listens everywhere listens here.
static const char *host_here(const struct sfl_address *address)
{
    if (strcmp(address->host, "0.0.0.0") == 0)
        return "127.0.0.1";
    if (strcmp(address->host, "::") == 0)
        return "::1";
    return address->host;
}

int sfl_ask_health(const struct sfl_settings *settings)
{
    const char *address = settings->admin_listen;
    if (address == NULL)
        return complain("--health asks the admin port, and there is none: set admin-listen "
                        "(127.0.0.1:9433 is reached from this machine alone)");
    struct sfl_address parts;
    if (!sfl_address_split(address, &parts))
        return complain("admin-listen must be HOST:PORT");
    uint64_t until_ms = sfl_clock_now_ms() + PATIENCE_MS;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int unknown = getaddrinfo(host_here(&parts), parts.port, &hints, &found);
    if (unknown != 0)
        return complain("the admin port %s: %s", address, gai_strerror(unknown));
    int fd = -1;
    int error = 0;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        error = connect_to(at, until_ms, &fd);
    freeaddrinfo(found);
    if (fd < 0)
        return complain("nobody listens at the admin port %s: %s", address, strerror(error));
    char answer[ANSWER_MAX];
    error = exchange(fd, until_ms, answer);
    close(fd);
    if (error != 0)
        return complain("no answer from the admin port %s: %s", address, strerror(error));
    return judge(address, answer);
}
