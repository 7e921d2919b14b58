// SPDX-License-Identifier: Apache-2.0
// One caller in a process of its own, for the tests: client_worker KEY [option=value]...
// It tells what happens in lines on standard output:
//     lead TOKEN ATTEMPT | follow ATTEMPT LEADER | chunk TEXT | restart ATTEMPT LEADER
//     audience FOLLOWERS | lost STATUS
//     done STATUS OUTCOME led=. shared=. callers=. attempt=. token=. retained=. alone=. code=.
//     bytes=. message MESSAGE value VALUE
// and does what lines on standard input say:
//     write TEXT | fill BYTES | ok | error CODE MESSAGE | panic MESSAGE | abandon | pass_on CODE
//     MESSAGE retain MS | cancel | crash | quit
#include "singleflight.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct singleflight_leader *current; // under the lock

static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}

static void on_lead(void *context, struct singleflight_leader *leader)
{
    (void)context;
    pthread_mutex_lock(&lock);
    current = leader;
    pthread_mutex_unlock(&lock);
    say("lead %llu %u", (unsigned long long)singleflight_leader_token(leader),
        singleflight_leader_attempt(leader));
}

static void on_follow(void *context, uint32_t attempt, const char *leader, uint64_t running_ms)
{
    (void)context;
    (void)running_ms;
    say("follow %u %s", attempt, leader);
}

static void on_chunk(void *context, const void *data, size_t data_bytes)
{
    (void)context;
    say("chunk %.*s", (int)data_bytes, (const char *)data);
}

static void on_restart(void *context, uint32_t attempt, const char *leader)
{
    (void)context;
    say("restart %u %s", attempt, leader);
}

static void on_audience(void *context, struct singleflight_leader *leader)
{
    (void)context;
    struct singleflight_audience audience;
    if (singleflight_leader_audience(leader, &audience))
        say("audience %u", audience.followers);
}

static void on_lost(void *context, struct singleflight_leader *leader,
                    enum singleflight_status status, const char *why)
{
    (void)context;
    (void)leader;
    (void)why;
    say("lost %s", singleflight_status_name(status));
}

static void on_done(void *context, struct singleflight_result *result)
{
    (void)context;
    say("done %s %d led=%d shared=%d callers=%u attempt=%u token=%llu retained=%d alone=%d code=%d "
        "bytes=%zu",
        singleflight_status_name(result->status), result->outcome, result->led, result->shared,
        result->callers, result->attempt, (unsigned long long)result->token, result->retained,
        result->failed_open, result->code, result->value_bytes);
    say("message %s", result->message);
    say("value %.*s", result->value_bytes > 1000 ? 1000 : (int)result->value_bytes,
        (const char *)result->value);
    singleflight_result_free(result);
}

static void read_option(struct singleflight_do_options *options, char *text)
{
    char *value = strchr(text, '=');
    if (value == NULL)
        exit(2);
    *value++ = 0;
    uint64_t number = strtoull(value, NULL, 10);
    if (strcmp(text, "lease_ms") == 0)
        options->lease_ms = number;
    else if (strcmp(text, "retain_ms") == 0)
        options->retain_ms = number;
    else if (strcmp(text, "timeout_ms") == 0)
        options->timeout_ms = number;
    else if (strcmp(text, "max_attempts") == 0)
        options->max_attempts = (uint32_t)number;
    else if (strcmp(text, "resume_token") == 0)
        options->resume_token = number;
    else if (strcmp(text, "connect_timeout_ms") == 0)
        options->connect_timeout_ms = number;
    else if (strcmp(text, "role") == 0)
        options->role = (enum singleflight_role)number;
    else if (strcmp(text, "live") == 0)
        options->live = number != 0;
    else if (strcmp(text, "audience") == 0)
        options->audience = number != 0;
    else if (strcmp(text, "ends_function") == 0)
        options->ends_function = number != 0;
    else if (strcmp(text, "fail_open") == 0)
        options->fail_open = number != 0;
    else if (strcmp(text, "caller") == 0)
        options->caller = value;
    else if (strcmp(text, "fingerprint") == 0) {
        options->fingerprint = value;
        options->fingerprint_bytes = strlen(value);
    } else
        exit(2);
}

static void write_bytes(struct singleflight_leader *leader, size_t bytes)
{
    char *data = malloc(bytes);
    if (data == NULL)
        exit(2);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (char)('a' + i % 26);
    if (singleflight_leader_write(leader, data, bytes) != SINGLEFLIGHT_OK)
        say("refused %s", singleflight_last_error());
    free(data);
}

// What a leader can be told; false for other words.
static bool run_leader_word(struct singleflight_leader *leader, const char *word, const char *rest)
{
    char *message = NULL;
    long code = strtol(rest, &message, 10);
    message += *message == ' ';
    if (strcmp(word, "write") == 0)
        (void)singleflight_leader_write(leader, rest, strlen(rest));
    else if (strcmp(word, "fill") == 0)
        write_bytes(leader, (size_t)code);
    else if (strcmp(word, "retain") == 0)
        singleflight_leader_set_retain(leader, (uint64_t)code);
    else if (strcmp(word, "ok") == 0)
        singleflight_leader_finish(leader, SINGLEFLIGHT_OUTCOME_OK);
    else if (strcmp(word, "abandon") == 0)
        singleflight_leader_finish(leader, SINGLEFLIGHT_OUTCOME_ABANDONED);
    else if (strcmp(word, "error") == 0)
        singleflight_leader_finish(leader,
                                   singleflight_leader_error(leader, (int32_t)code, message));
    else if (strcmp(word, "panic") == 0)
        singleflight_leader_finish(leader, singleflight_leader_panic(leader, rest, "at worker.c"));
    else if (strcmp(word, "pass_on") == 0) {
        singleflight_leader_pass_on(leader);
        singleflight_leader_finish(leader,
                                   singleflight_leader_error(leader, (int32_t)code, message));
    } else
        return false;
    return true;
}

static void run_line(struct singleflight_call *call, char *line)
{
    line[strcspn(line, "\n")] = 0;
    char *rest = strchr(line, ' ');
    if (rest == NULL)
        rest = line + strlen(line);
    else
        *rest++ = 0;
    pthread_mutex_lock(&lock);
    struct singleflight_leader *leader = current;
    pthread_mutex_unlock(&lock);
    if (strcmp(line, "cancel") == 0)
        singleflight_call_cancel(call);
    else if (strcmp(line, "crash") == 0)
        abort();
    else if (leader == NULL || !run_leader_word(leader, line, rest))
        exit(2);
}

int main(int count, char **arguments)
{
    static const struct singleflight_call_events events = {
        .struct_bytes = sizeof(events),
        .on_lead = on_lead,
        .on_follow = on_follow,
        .on_chunk = on_chunk,
        .on_restart = on_restart,
        .on_audience = on_audience,
        .on_lost = on_lost,
        .on_done = on_done,
    };
    if (count < 2)
        return 2;
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.key = arguments[1];
    options.key_bytes = strlen(arguments[1]);
    for (int i = 2; i < count; i++)
        read_option(&options, arguments[i]);

    struct singleflight_client *client;
    struct singleflight_call *call;
    if (singleflight_client_create(NULL, &client) != SINGLEFLIGHT_OK ||
        singleflight_do_async(client, &options, &events, NULL, &call) != SINGLEFLIGHT_OK) {
        fprintf(stderr, "%s\n", singleflight_last_error());
        return 1;
    }
    char line[4096];
    while (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "quit\n") != 0)
        run_line(call, line);
    singleflight_call_release(call);
    singleflight_client_destroy(client);
    return 0;
}
