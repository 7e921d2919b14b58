// SPDX-License-Identifier: Apache-2.0
#include "base/standard_files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool sfl_standard_files_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        // The lowest free descriptor is this one: those below it are open by now.
        if (open("/dev/null", O_RDWR) != fd)
            return false;
    }
    return true;
}
