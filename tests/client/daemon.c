// SPDX-License-Identifier: Apache-2.0
#include "daemon.h"

#include "process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BANNER "singleflightd listening on "

#define FLAGS_MAX 16

struct test_daemon daemon_start(const char *address)
{
    const char *const none[] = {NULL};
    return daemon_start_with(address, none);
}

struct test_daemon daemon_start_with(const char *address, const char *const *flags)
{
    const char *program = getenv("SFL_DAEMON");
    assert_non_null(program);
    const char *arguments[3 + FLAGS_MAX + 1] = {program, "--listen", address};
    for (size_t i = 0; flags[i] != NULL; i++) {
        assert_true(i < FLAGS_MAX);
        arguments[3 + i] = flags[i];
    }
    struct process process = process_start(arguments, NULL);
    struct test_daemon daemon = {.pid = process.pid};
    const char *line = process_read_line(&process);
    assert_memory_equal(line, BANNER, strlen(BANNER));
    snprintf(daemon.address, sizeof(daemon.address), "%s", line + strlen(BANNER));
    process_close(&process);
    return daemon;
}

void daemon_end(struct test_daemon *daemon, int signal)
{
    if (daemon->pid == 0)
        return;
    kill(daemon->pid, signal);
    process_wait(daemon->pid);
    daemon->pid = 0;
}
