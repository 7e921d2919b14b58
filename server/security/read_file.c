// SPDX-License-Identifier: Apache-2.0
#include "security/read_file_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// How many bytes there are, up to `room`; -1, and errno: it cannot be read.
static ssize_t read_some(int fd, char *text, size_t room)
{
    size_t size = 0;
    while (size < room) {
        ssize_t part = read(fd, text + size, room - size);
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return -1;
        if (part == 0)
            break;
        size += (size_t)part;
    }
    return (ssize_t)size;
}

static char *read_open(int fd, const char *path, size_t mib_max, size_t *size_out, char *problem)
{
    struct stat is;
    size_t bytes_max = mib_max * SFL_SECURITY_MIB;
    // It is looked at again and again, which a pipe or a device is not made for.
    if (fstat(fd, &is) == 0 && !S_ISREG(is.st_mode)) {
        sfl_security_problem(problem, path, 0, "is no regular file");
        return NULL;
    }
    char *text = malloc(bytes_max + 1);
    ssize_t size = text == NULL ? -1 : read_some(fd, text, bytes_max + 1);
    if (size >= 0 && (size_t)size <= bytes_max) {
        text[size] = '\0';
        *size_out = (size_t)size;
        char *fitting = realloc(text, (size_t)size + 1);
        return fitting == NULL ? text : fitting;
    }
    if (size < 0)
        sfl_security_problem(problem, path, 0, "cannot be read: %s", strerror(errno));
    else
        sfl_security_problem(problem, path, 0, "is larger than %zu MiB", mib_max);
    if (text != NULL)
        explicit_bzero(text, bytes_max + 1); // it may be a key
    free(text);
    return NULL;
}

char *sfl_security_read_file(const char *path, size_t mib_max, size_t *size_out,
                             char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        sfl_security_problem(problem_out, path, 0, "cannot be read: %s", strerror(errno));
        return NULL;
    }
    char *text = read_open(fd, path, mib_max, size_out, problem_out);
    close(fd);
    return text;
}
