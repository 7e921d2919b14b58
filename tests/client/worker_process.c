// SPDX-License-Identifier: Apache-2.0
#include "worker_process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define OPTIONS_MAX 8

struct process worker_start(const char *address, const char *key, const char *options)
{
    const char *arguments[OPTIONS_MAX + 3] = {getenv("SFL_WORKER"), key};
    assert_non_null(arguments[0]);
    char words[256];
    snprintf(words, sizeof(words), "%s", options);
    size_t count = 2;
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(count < OPTIONS_MAX + 2);
        arguments[count++] = word;
    }
    char variable[128];
    snprintf(variable, sizeof(variable), "SINGLEFLIGHT_ADDRESS=%s", address);
    return process_start(arguments, variable);
}

void worker_expect(struct process *worker, const char *line)
{
    assert_string_equal(process_read_line(worker), line);
}

const char *worker_expect_start(struct process *worker, const char *start)
{
    const char *line = process_read_line(worker);
    if (strncmp(line, start, strlen(start)) != 0)
        fail_msg("\"%s...\" was expected, \"%s\" came", start, line);
    return line + strlen(start);
}

uint64_t worker_expect_lead(struct process *worker, unsigned attempt)
{
    unsigned long long token = 0;
    unsigned told = 0;
    const char *rest = worker_expect_start(worker, "lead ");
    assert_int_equal(sscanf(rest, "%llu %u", &token, &told), 2);
    assert_int_equal(told, attempt);
    assert_true(token > 0);
    return token;
}

struct worker_result worker_expect_done(struct process *worker)
{
    struct worker_result result = {0};
    int led;
    int shared;
    int retained;
    int alone;
    const char *rest = worker_expect_start(worker, "done ");
    int count =
        sscanf(rest,
               "%31s %d led=%d shared=%d callers=%u attempt=%u token=%llu retained=%d "
               "alone=%d code=%d bytes=%zu",
               result.status, &result.outcome, &led, &shared, &result.callers, &result.attempt,
               &result.token, &retained, &alone, &result.code, &result.bytes);
    assert_int_equal(count, 11);
    result.led = led != 0;
    result.shared = shared != 0;
    result.retained = retained != 0;
    result.alone = alone != 0;
    strcpy(result.message, worker_expect_start(worker, "message "));
    strcpy(result.value, worker_expect_start(worker, "value "));
    return result;
}

void worker_tell(struct process *worker, const char *line)
{
    process_write_line(worker, line);
}

void worker_quit(struct process *worker)
{
    process_write_line(worker, "quit");
    assert_int_equal(process_wait(worker->pid), 0);
    process_close(worker);
}

void worker_kill(struct process *worker)
{
    kill(worker->pid, SIGKILL);
    assert_true(WIFSIGNALED(process_wait(worker->pid)));
    process_close(worker);
}
