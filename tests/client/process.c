// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // pipe2
#include "process.h"

#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct process process_start(const char *const *arguments, const char *variable)
{
    int to[2];
    int from[2];
    int exec[2]; // ends when the program runs: then it holds none of this process's descriptors
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    assert_int_equal(pipe2(exec, O_CLOEXEC), 0);
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        if (variable != NULL)
            putenv((char *)variable);
        execv(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    close(exec[1]);
    char nothing;
    assert_int_equal(read(exec[0], &nothing, 1), 0);
    close(exec[0]);
    return (struct process){.pid = pid, .to = to[1], .from = from[0]};
}

// Reads more into the buffer.
static void fill(struct process *process)
{
    memmove(process->buffer, process->buffer + process->taken, process->size - process->taken);
    process->size -= process->taken;
    process->taken = 0;
    assert_true(process->size < sizeof(process->buffer));
    struct pollfd fd = {process->from, POLLIN, 0};
    if (poll(&fd, 1, PATIENCE_MS) != 1)
        fail_msg("process %d says nothing", (int)process->pid);
    ssize_t size = read(process->from, process->buffer + process->size,
                        sizeof(process->buffer) - process->size);
    if (size <= 0)
        fail_msg("process %d has ended", (int)process->pid);
    process->size += (size_t)size;
}

const char *process_read_line(struct process *process)
{
    for (;;) {
        char *from = process->buffer + process->taken;
        char *end = memchr(from, '\n', process->size - process->taken);
        if (end == NULL) {
            fill(process);
            continue;
        }
        size_t size = (size_t)(end - from);
        memcpy(process->line, from, size);
        process->line[size] = 0;
        process->taken += size + 1;
        return process->line;
    }
}

void process_write_line(struct process *process, const char *line)
{
    assert_int_equal(write(process->to, line, strlen(line)), strlen(line));
    assert_int_equal(write(process->to, "\n", 1), 1);
}

void process_close(struct process *process)
{
    close(process->to);
    close(process->from);
    process->to = process->from = -1;
}

int process_wait(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_true(fd >= 0);
    struct pollfd poll_fd = {fd, POLLIN, 0};
    if (poll(&poll_fd, 1, PATIENCE_MS) != 1)
        fail_msg("process %d does not end", (int)pid);
    close(fd);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}
