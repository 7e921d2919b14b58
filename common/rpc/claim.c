// SPDX-License-Identifier: Apache-2.0
#include "rpc/claim_private.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PROBLEM_MAX 300

// --- host:port ---

// Binds for a moment, in the way that gRPC will. Returns 0 or an errno.
static int try_bind(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
    if (fd < 0)
        return errno;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    int error = 0;
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, 1) != 0)
        error = errno;
    close(fd);
    return error;
}

enum sfl_status sfl_address_check(const char *text, struct sfl_address *address_out,
                                  char problem_out[static 300])
{
    struct sfl_address address;
    if (!sfl_address_split(text, &address)) {
        snprintf(problem_out, PROBLEM_MAX, "not of the form HOST:PORT");
        return SFL_INVALID_ARGUMENT;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    int failed = getaddrinfo(address.host, address.port, &hints, &found);
    if (failed != 0) {
        snprintf(problem_out, PROBLEM_MAX, "%s", gai_strerror(failed));
        return SFL_INVALID_ARGUMENT;
    }
    // A name may stand for an address that this machine does not have, such as ::1; but none of
    // them may be another's.
    int problem = 0;
    bool has_bound = false;
    for (const struct addrinfo *info = found; info != NULL; info = info->ai_next) {
        int error = try_bind(info);
        if (error == 0)
            has_bound = true;
        else if (problem != EADDRINUSE)
            problem = error;
    }
    freeaddrinfo(found);
    if (!has_bound || problem == EADDRINUSE) {
        errno = problem;
        snprintf(problem_out, PROBLEM_MAX, "%m");
        return SFL_UNAVAILABLE;
    }
    *address_out = address;
    return SFL_OK;
}

// --- unix sockets ---

// Asks whether somebody listens at the socket. Returns 0 if so, ECONNREFUSED for a stale one, or
// another errno.
static int probe(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = 0;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        error = errno;
    close(fd);
    return error == EAGAIN ? 0 : error; // EAGAIN: it lives, and its queue is full
}

static enum sfl_status unavailable(int error, char problem_out[static 300])
{
    errno = error;
    snprintf(problem_out, PROBLEM_MAX, "%m");
    return SFL_UNAVAILABLE;
}

static enum sfl_status make_room(const char *path, char problem_out[static 300])
{
    struct stat file;
    if (lstat(path, &file) != 0)
        return errno == ENOENT ? SFL_OK : unavailable(errno, problem_out);
    if (!S_ISSOCK(file.st_mode)) {
        snprintf(problem_out, PROBLEM_MAX, "exists and is not a socket");
        return SFL_INVALID_ARGUMENT;
    }
    int error = probe(path);
    if (error == 0)
        return unavailable(EADDRINUSE, problem_out);
    if (error != ECONNREFUSED && error != ENOENT)
        return unavailable(error, problem_out);
    if (unlink(path) != 0 && errno != ENOENT)
        return unavailable(errno, problem_out);
    return SFL_OK;
}

// Locks the directory of `path`, so that of two servers that start at once one does not take the
// other's new socket for a stale one. -1 for a directory that may be written but not read: no lock.
static enum sfl_status lock_directory(const char *path, int *directory_out,
                                      char problem_out[static 300])
{
    const char *slash = strrchr(path, '/');
    char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = ".";
    if (slash == path)
        strcpy(directory, "/");
    else if (slash != NULL)
        snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
    if (access(directory, W_OK | X_OK) != 0)
        return unavailable(errno, problem_out);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != EACCES)
        return unavailable(errno, problem_out);
    if (fd >= 0)
        flock(fd, LOCK_EX);
    *directory_out = fd;
    return SFL_OK;
}

enum sfl_status sfl_unix_socket_claim(const char *path, int *claim_out,
                                      char problem_out[static 300])
{
    size_t size = strlen(path);
    size_t size_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    if (size == 0 || size > size_max) {
        snprintf(problem_out, PROBLEM_MAX, "a socket's path has 1 to %zu bytes", size_max);
        return SFL_INVALID_ARGUMENT;
    }
    int directory;
    enum sfl_status status = lock_directory(path, &directory, problem_out);
    if (status != SFL_OK)
        return status;
    status = make_room(path, problem_out);
    if (status != SFL_OK) {
        sfl_unix_socket_settle(directory);
        return status;
    }
    *claim_out = directory;
    return SFL_OK;
}

void sfl_unix_socket_settle(int claim)
{
    if (claim >= 0)
        close(claim); // and so unlocks
}
