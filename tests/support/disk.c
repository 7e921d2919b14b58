// SPDX-License-Identifier: Apache-2.0
#include "support/disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int error;
    uint64_t end;
    uint64_t size_max;
    bool breaks_in_head;
    bool hangs;
    unsigned waiting;
    bool skips_syncs;
} disk = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
    .end = UINT64_MAX,
    .size_max = UINT64_MAX,
};

static void set(int error, uint64_t end, uint64_t size_max)
{
    pthread_mutex_lock(&disk.lock);
    disk.error = error;
    disk.end = end;
    disk.size_max = size_max;
    disk.breaks_in_head = false;
    pthread_mutex_unlock(&disk.lock);
}

void disk_mend(void)
{
    set(0, UINT64_MAX, UINT64_MAX);
}

void disk_fail(int error)
{
    set(error, UINT64_MAX, UINT64_MAX);
}

void disk_end_at(uint64_t bytes)
{
    set(0, bytes, UINT64_MAX);
}

void disk_refuse_above(uint64_t bytes)
{
    set(0, UINT64_MAX, bytes);
}

void disk_break_in_the_head(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.breaks_in_head = true;
    pthread_mutex_unlock(&disk.lock);
}

void disk_hang(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.hangs = true;
    pthread_mutex_unlock(&disk.lock);
}

void disk_await(void)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.waiting == 0)
        pthread_cond_wait(&disk.changed, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
}

void disk_go_on(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.hangs = false;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

void disk_skip_syncs(void)
{
    disk.skips_syncs = true;
}

// How many of `size` bytes at `offset` may be written; -1 with errno for none.
static int64_t allow(uint64_t offset, uint64_t size)
{
    pthread_mutex_lock(&disk.lock);
    int error = disk.error;
    uint64_t end = disk.end;
    if (size > disk.size_max)
        error = ENOSPC;
    pthread_mutex_unlock(&disk.lock);
    if (error == 0 && offset >= end)
        error = ENOSPC;
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int64_t)(size < end - offset ? size : end - offset);
}

static bool breaks_here(uint64_t offset)
{
    enum { HEAD_BYTES = 2 * 4096 };
    pthread_mutex_lock(&disk.lock);
    bool breaks = disk.breaks_in_head && offset < HEAD_BYTES;
    if (breaks) {
        disk.breaks_in_head = false;
        disk.error = EIO;
    }
    pthread_mutex_unlock(&disk.lock);
    return breaks;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (breaks_here((uint64_t)offset)) {
        (void)syscall(SYS_pwrite64, fd, bytes, size, offset);
        errno = EIO;
        return -1;
    }
    int64_t allowed = allow((uint64_t)offset, size);
    return allowed < 0 ? -1 : syscall(SYS_pwrite64, fd, bytes, (size_t)allowed, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite(fd, bytes, size, offset);
}

// The pieces one by one, as far as they may be written.
ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    uint64_t whole = 0;
    for (int i = 0; i < count; i++)
        whole += pieces[i].iov_len;
    off_t offset = lseek(fd, 0, SEEK_CUR);
    if (offset < 0) // no file
        return syscall(SYS_writev, fd, pieces, count);
    int64_t allowed = allow((uint64_t)offset, whole);
    if (allowed < 0)
        return -1;
    if ((uint64_t)allowed == whole)
        return syscall(SYS_writev, fd, pieces, count);
    ssize_t written = 0;
    for (int i = 0; i < count && written < allowed; i++) {
        size_t size = pieces[i].iov_len;
        if ((int64_t)size > allowed - written)
            size = (size_t)(allowed - written);
        written += syscall(SYS_write, fd, pieces[i].iov_base, size);
    }
    return written;
}

int fdatasync(int fd)
{
    pthread_mutex_lock(&disk.lock);
    disk.waiting++;
    pthread_cond_broadcast(&disk.changed);
    while (disk.hangs)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.waiting--;
    int error = disk.error;
    pthread_mutex_unlock(&disk.lock);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return disk.skips_syncs ? 0 : (int)syscall(SYS_fdatasync, fd);
}
