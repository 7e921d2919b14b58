// SPDX-License-Identifier: Apache-2.0
// For LD_PRELOAD: while there is a FIFO at $SFL_TEST_DISK, whoever syncs a file waits until
// somebody opens it for writing, as at a disk that hangs.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd)
{
    const char *path = getenv("SFL_TEST_DISK");
    int gate = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (gate >= 0)
        close(gate);
    return (int)syscall(SYS_fdatasync, fd);
}
