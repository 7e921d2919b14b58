// SPDX-License-Identifier: Apache-2.0
#include "driver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE_BYTES ((size_t)64 * 1024)
#define STACK_SIZE (16 * 1024 + 1)

// One Do. Callbacks come on the client's thread; the function has a thread of its own.
struct call {
    struct call *next;
    unsigned references; // under the lock: until it is done, and until its function has ended
    bool is_done;        // under the lock
    struct singleflight_client *client;
    struct json_object *command;
    struct singleflight_call *handle;
    bool live;
    bool is_stale; // a stale outcome was served
    struct chunks {
        unsigned char *data;
        size_t bytes;
        size_t room;
    } chunks; // since the last restart
    char name[];
};

struct job {
    struct call *call;
    struct singleflight_leader *leader;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct call *calls;

static bool call_begin(struct singleflight_client *client, struct json_object *command,
                       const struct singleflight_leader *within, struct call **kept_out);
static void call_unref(struct call *call);

// ---- the function ----

static void write_fill(struct singleflight_leader *leader, struct json_object *fill)
{
    static _Thread_local unsigned char piece[PIECE_BYTES];
    size_t bytes = line_number(fill, "bytes");
    size_t seed = line_number(fill, "seed");
    for (size_t done = 0; done < bytes;) {
        size_t size = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;
        for (size_t i = 0; i < size; i++) {
            size_t at = done + i;
            piece[i] = (unsigned char)(seed + at * 31 + (at >> 8) * 17);
        }
        if (singleflight_leader_write(leader, piece, size) != SINGLEFLIGHT_OK)
            return; // what came of it is told by the result
        done += size;
    }
}

static void wait_for_audience(struct singleflight_leader *leader, uint64_t followers)
{
    struct singleflight_audience audience = {0};
    // poll: the audience has no descriptor; the lead's end bounds the wait.
    while (!singleflight_leader_audience(leader, &audience) || audience.followers < followers) {
        if (singleflight_leader_wait_lost(leader, 5) != SINGLEFLIGHT_OK)
            return;
    }
}

static enum singleflight_outcome end_with_error(struct singleflight_leader *leader,
                                                struct json_object *details)
{
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.message = line_text(details, "message");
    error.type = line_text(details, "type");
    error.code = line_code(details);
    char stack[256] = "";
    if (line_has(details, "cause"))
        snprintf(stack, sizeof(stack), "caused by: %s", line_text(details, "cause"));
    error.stack = stack;
    void *bytes = line_base64(details, "details_b64", &error.details_bytes);
    error.details = bytes;
    enum singleflight_status status = singleflight_leader_set_error(leader, &error);
    free(bytes);
    if (status != SINGLEFLIGHT_OK)
        fprintf(stderr, "driver: %s\n", singleflight_last_error());
    if (line_flag(details, "pass_on"))
        singleflight_leader_pass_on(leader);
    return SINGLEFLIGHT_OUTCOME_ERROR;
}

// A call inside this function. Its end is waited for.
static void do_inside(struct call *outer, const struct singleflight_leader *leader,
                      struct json_object *command)
{
    struct call *call = NULL;
    if (!call_begin(outer->client, command, leader, &call))
        return;
    pthread_mutex_lock(&lock);
    while (!call->is_done)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    call_unref(call);
}

static void tell_whether_lost(const struct call *call, const struct singleflight_leader *leader)
{
    bool is_lost = singleflight_leader_lost(leader) != SINGLEFLIGHT_OK;
    struct json_object *event = line_new("asked", "call", call->name);
    line_add_flag(event, "lost", is_lost);
    line_print(event);
}

static void block(uint64_t block_ms)
{
    struct timespec left = {.tv_sec = (time_t)(block_ms / 1000),
                            .tv_nsec = (long)(block_ms % 1000) * 1000000};
    // poll: to be deaf for so long is what this action is about.
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) != 0)
        continue;
}

// Does one action; false when the function has nothing more to do, and how it ends in `end_out`.
static bool act(struct call *call, struct singleflight_leader *leader, struct json_object *action,
                enum singleflight_outcome *end_out)
{
    struct json_object *details = NULL;
    if (json_object_object_get_ex(action, "write_b64", NULL)) {
        size_t bytes = 0;
        void *data = line_base64(action, "write_b64", &bytes);
        // What came of it is told by the result.
        (void)!singleflight_leader_write(leader, data, bytes);
        free(data);
    } else if (json_object_object_get_ex(action, "fill", &details)) {
        write_fill(leader, details);
    } else if (line_has(action, "wait")) {
        if (!signal_wait(line_text(action, "wait"), leader)) {
            *end_out = SINGLEFLIGHT_OUTCOME_ABANDONED;
            return false;
        }
    } else if (line_has(action, "wait_lost")) {
        singleflight_leader_wait_lost(leader, UINT64_MAX);
    } else if (line_has(action, "wait_audience")) {
        wait_for_audience(leader, line_number(action, "wait_audience"));
    } else if (line_has(action, "block_ms")) {
        block(line_number(action, "block_ms"));
    } else if (line_has(action, "ask_lost")) {
        tell_whether_lost(call, leader);
    } else if (json_object_object_get_ex(action, "do_inside", &details)) {
        do_inside(call, leader, details);
    } else if (line_has(action, "ok")) {
        if (line_has(action, "retain_ms"))
            singleflight_leader_set_retain(leader, line_number(action, "retain_ms"));
        return false;
    } else if (json_object_object_get_ex(action, "error", &details)) {
        *end_out = end_with_error(leader, details);
        return false;
    } else if (line_has(action, "panic")) {
        *end_out = singleflight_leader_panic(leader, line_text(action, "panic"), "driver.c: act()");
        return false;
    } else if (json_object_object_get_ex(action, "abandon", &details)) {
        if (line_flag(details, "pass_on"))
            singleflight_leader_pass_on(leader);
        *end_out = SINGLEFLIGHT_OUTCOME_ABANDONED;
        return false;
    }
    return true;
}

static const char *const action_words[] = {
    "write_b64", "fill", "wait",  "wait_lost", "wait_audience", "block_ms", "ask_lost",
    "do_inside", "ok",   "error", "panic",     "abandon",       NULL};
static const char *const option_words[] = {"group",
                                           "key_b64",
                                           "timeout_ms",
                                           "retain_ms",
                                           "retain_error_ms",
                                           "max_age_ms",
                                           "lease_ms",
                                           "run_limit_ms",
                                           "on_leader_loss",
                                           "max_attempts",
                                           "role",
                                           "live",
                                           "audience",
                                           "fingerprint_b64",
                                           "caller",
                                           "resume_token",
                                           "connect_timeout_ms",
                                           "fail_open",
                                           "local_merge",
                                           "fresh",
                                           "stale_ms",
                                           "retain_from_lead",
                                           NULL};

static bool is_in(const char *word, const char *const *words)
{
    while (*words != NULL && strcmp(*words, word) != 0)
        words++;
    return *words != NULL;
}

// The first word of a `do` that this driver does not know; NULL: it knows them all.
static const char *unknown_word(struct json_object *command)
{
    struct json_object *from = NULL;
    json_object_object_get_ex(command, "options", &from);
    json_object_object_foreach(from, option, value)
    {
        (void)value;
        if (!is_in(option, option_words))
            return option;
    }
    struct json_object *list = NULL;
    json_object_object_get_ex(command, "function", &list);
    size_t count = list == NULL ? 0 : json_object_array_length(list);
    for (size_t i = 0; i < count; i++) {
        json_object_object_foreach(json_object_array_get_idx(list, i), action, inside)
        {
            if (strcmp(action, "retain_ms") == 0) // beside "ok"
                continue;
            const char *word = is_in(action, action_words) ? NULL : action;
            if (word == NULL && strcmp(action, "do_inside") == 0)
                word = unknown_word(inside);
            if (word != NULL)
                return word;
        }
    }
    return NULL;
}

static void *run_function(void *argument)
{
    struct job *job = argument;
    struct json_object *list = NULL;
    json_object_object_get_ex(job->call->command, "function", &list);
    enum singleflight_outcome end = SINGLEFLIGHT_OUTCOME_OK;
    size_t count = list == NULL ? 0 : json_object_array_length(list);
    for (size_t i = 0; i < count; i++) {
        if (!act(job->call, job->leader, json_object_array_get_idx(list, i), &end))
            break;
    }
    singleflight_leader_finish(job->leader, end);
    call_unref(job->call);
    free(job);
    return NULL;
}

// ---- what happens to a call ----

static void on_lead(void *context, struct singleflight_leader *leader)
{
    struct call *call = context;
    struct json_object *event = line_new("lead", "call", call->name);
    line_add_token(event, singleflight_leader_token(leader));
    line_add_number(event, "attempt", singleflight_leader_attempt(leader));
    line_print(event);

    struct job *job = malloc(sizeof(*job));
    if (job == NULL)
        abort();
    pthread_mutex_lock(&lock);
    call->references++;
    pthread_mutex_unlock(&lock);
    *job = (struct job){.call = call, .leader = leader};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_function, job) != 0)
        abort();
    pthread_detach(thread);
}

static void on_follow(void *context, uint32_t attempt, const char *leader, uint64_t running_ms)
{
    struct call *call = context;
    struct json_object *event = line_new("follow", "call", call->name);
    line_add_number(event, "attempt", attempt);
    line_add_text(event, "leader", leader);
    line_add_number(event, "running_ms", running_ms);
    line_print(event);
}

static void on_chunk(void *context, const void *data, size_t bytes)
{
    struct call *call = context;
    struct chunks *chunks = &call->chunks;
    if (chunks->bytes + bytes > chunks->room) {
        chunks->room = 2 * (chunks->bytes + bytes);
        chunks->data = realloc(chunks->data, chunks->room);
        if (chunks->data == NULL)
            abort();
    }
    memcpy(chunks->data + chunks->bytes, data, bytes);
    chunks->bytes += bytes;
    struct json_object *event = line_new("chunk", "call", call->name);
    line_add_number(event, "bytes", bytes);
    line_print(event);
}

static void on_restart(void *context, uint32_t attempt, const char *leader)
{
    struct call *call = context;
    call->chunks.bytes = 0;
    struct json_object *event = line_new("restart", "call", call->name);
    line_add_number(event, "attempt", attempt);
    line_add_text(event, "leader", leader);
    line_print(event);
}

static void on_lost(void *context, struct singleflight_leader *leader,
                    enum singleflight_status status, const char *why)
{
    (void)leader;
    struct call *call = context;
    struct json_object *event = line_new("lost", "call", call->name);
    line_add_text(event, "status", singleflight_status_name(status));
    line_add_text(event, "message", why);
    line_print(event);
}

static void call_unref(struct call *call)
{
    pthread_mutex_lock(&lock);
    bool is_last = --call->references == 0;
    for (struct call **at = &calls; is_last && *at != NULL; at = &(*at)->next) {
        if (*at == call) {
            *at = call->next;
            break;
        }
    }
    if (is_last)
        singleflight_call_release(call->handle);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (!is_last)
        return;
    json_object_put(call->command);
    free(call->chunks.data);
    free(call);
}

static void call_is_done(struct call *call)
{
    pthread_mutex_lock(&lock);
    call->is_done = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    call_unref(call);
}

static const char *outcome_name(enum singleflight_outcome outcome)
{
    switch (outcome) {
    case SINGLEFLIGHT_OUTCOME_NONE:
        return "";
    case SINGLEFLIGHT_OUTCOME_OK:
        return "OK";
    case SINGLEFLIGHT_OUTCOME_ERROR:
        return "ERROR";
    case SINGLEFLIGHT_OUTCOME_PANIC:
        return "PANIC";
    case SINGLEFLIGHT_OUTCOME_ABANDONED:
        return "ABANDONED";
    }
    return "";
}

// C has no codec: what another language could not encode is told by the outcome's type.
static const char *error_class(const struct singleflight_result *result)
{
    if (result->status != SINGLEFLIGHT_OK)
        return "status";
    if (result->outcome == SINGLEFLIGHT_OUTCOME_OK)
        return "";
    return strcmp(result->type, "singleflight.EncodeError") == 0 ? "encode" : "function";
}

// Prints and frees it; the call goes on.
static void print_result(struct call *call, struct singleflight_result *result)
{
    struct json_object *event = line_new("done", "call", call->name);
    line_add_text(event, "status", singleflight_status_name(result->status));
    line_add_text(event, "message", result->message);
    line_add_text(event, "outcome", outcome_name(result->outcome));
    line_add_text(event, "error_class", error_class(result));
    line_add_number(event, "value_bytes", result->value_bytes);
    line_add_sha256(event, "value_sha256", result->value, result->value_bytes);
    json_object_object_add(event, "code", json_object_new_int(result->code));
    line_add_text(event, "type", result->type);
    line_add_flag(event, "has_stack", result->stack[0] != '\0');
    char stack[STACK_SIZE];
    snprintf(stack, sizeof(stack), "%s", result->stack);
    line_add_text(event, "stack", stack);
    line_add_base64(event, "details_b64", result->details, result->details_bytes);
    line_add_flag(event, "led", result->led);
    line_add_flag(event, "shared", result->shared);
    line_add_number(event, "callers", result->callers);
    line_add_number(event, "attempt", result->attempt);
    line_add_token(event, result->token);
    line_add_flag(event, "retained", result->retained);
    line_add_flag(event, "stale", result->stale);
    if (result->retained)
        line_add_number(event, "age_ms", result->age_ms);
    line_add_flag(event, "retain_refused", result->retain_refused);
    line_add_flag(event, "failed_open", result->failed_open);
    if (call->live) {
        line_add_number(event, "chunks_bytes", call->chunks.bytes);
        line_add_sha256(event, "chunks_sha256", call->chunks.data, call->chunks.bytes);
    }
    line_print(event);
    singleflight_result_free(result);
}

static void on_done(void *context, struct singleflight_result *result)
{
    struct call *call = context;
    if (call->is_stale)
        singleflight_result_free(result); // of the refresh
    else
        print_result(call, result);
    call_is_done(call);
}

static void on_stale(void *context, struct singleflight_result *result)
{
    struct call *call = context;
    call->is_stale = true;
    print_result(call, result);
}

// ---- starting and ending ----

static enum singleflight_role role_of(const char *text)
{
    if (text != NULL && strcmp(text, "LEAD_ONLY") == 0)
        return SINGLEFLIGHT_ROLE_LEAD_ONLY;
    if (text != NULL && strcmp(text, "FOLLOW_ONLY") == 0)
        return SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    return SINGLEFLIGHT_ROLE_ANY;
}

static void read_options(struct json_object *from, struct singleflight_do_options *options)
{
    options->group = line_text(from, "group");
    if (line_has(from, "timeout_ms"))
        options->timeout_ms = line_number(from, "timeout_ms");
    options->retain_ms = line_number(from, "retain_ms");
    options->retain_error_ms = line_number(from, "retain_error_ms");
    options->max_age_ms = line_number(from, "max_age_ms");
    options->lease_ms = line_number(from, "lease_ms");
    options->run_limit_ms = line_number(from, "run_limit_ms");
    const char *loss = line_text(from, "on_leader_loss");
    if (loss != NULL && strcmp(loss, "FAIL") == 0)
        options->on_leader_loss = SINGLEFLIGHT_LEADER_LOSS_FAIL;
    if (loss != NULL && strcmp(loss, "HOLD") == 0)
        options->on_leader_loss = SINGLEFLIGHT_LEADER_LOSS_HOLD;
    options->stale_ms = line_number(from, "stale_ms");
    options->fresh = line_flag(from, "fresh");
    options->retain_from_lead = line_flag(from, "retain_from_lead");
    options->max_attempts = (uint32_t)line_number(from, "max_attempts");
    options->role = role_of(line_text(from, "role"));
    options->live = line_flag(from, "live");
    options->audience = line_flag(from, "audience");
    options->caller = line_text(from, "caller");
    options->resume_token = line_number(from, "resume_token");
    if (line_has(from, "connect_timeout_ms"))
        options->connect_timeout_ms = line_number(from, "connect_timeout_ms");
    options->fail_open = line_flag(from, "fail_open");
    options->no_fail_open = line_has(from, "fail_open") && !options->fail_open;
    options->no_local_merge = line_has(from, "local_merge") && !line_flag(from, "local_merge");
}

static void print_refusal(const char *name, enum singleflight_status status)
{
    struct json_object *event = line_new("done", "call", name);
    line_add_text(event, "status", singleflight_status_name(status));
    bool is_misuse = status == SINGLEFLIGHT_INVALID_ARGUMENT;
    line_add_text(event, "error_class", is_misuse ? "misuse" : "status");
    line_add_text(event, "message", singleflight_last_error());
    line_print(event);
}

static bool has_function(struct json_object *command)
{
    struct json_object *list = NULL;
    bool is_there = json_object_object_get_ex(command, "function", &list);
    return !is_there || list != NULL; // what is not there is an empty list
}

// Held while it starts, so that its end, which may come at once, finds it in the list.
static enum singleflight_status start_listed(struct call *call,
                                             const struct singleflight_do_options *given)
{
    struct singleflight_call_events events = SINGLEFLIGHT_CALL_EVENTS_INIT;
    events.on_lead = has_function(call->command) ? on_lead : NULL;
    events.on_follow = on_follow;
    events.on_chunk = on_chunk;
    events.on_restart = on_restart;
    events.on_lost = on_lost;
    events.on_stale = on_stale;
    events.on_done = on_done;
    pthread_mutex_lock(&lock);
    call->next = calls;
    calls = call;
    enum singleflight_status status =
        singleflight_do_async(call->client, given, &events, call, &call->handle);
    pthread_mutex_unlock(&lock);
    return status;
}

// Begins the call of `command`. `kept_out`, which may be NULL, gets a reference. False: there is
// no such call, and that has been told.
static bool call_begin(struct singleflight_client *client, struct json_object *command,
                       const struct singleflight_leader *within, struct call **kept_out)
{
    const char *name = line_text(command, "call");
    size_t name_bytes = strlen(name) + 1;
    struct call *call = calloc(1, sizeof(*call) + name_bytes);
    if (call == NULL)
        abort();
    memcpy(call->name, name, name_bytes);
    call->references = kept_out == NULL ? 1 : 2;
    call->client = client;
    call->command = json_object_get(command);

    struct json_object *from = NULL;
    json_object_object_get_ex(command, "options", &from);
    struct singleflight_do_options given = SINGLEFLIGHT_DO_OPTIONS_INIT;
    read_options(from, &given);
    given.within = within;
    void *key = line_base64(from, "key_b64", &given.key_bytes);
    void *fingerprint = line_base64(from, "fingerprint_b64", &given.fingerprint_bytes);
    given.key = key;
    given.fingerprint = fingerprint;
    call->live = given.live;
    if (kept_out != NULL)
        *kept_out = call;
    enum singleflight_status status = start_listed(call, &given);
    if (status != SINGLEFLIGHT_OK) {
        print_refusal(name, status);
        call_unref(call);
        if (kept_out != NULL)
            call_unref(call);
    }
    free(key);
    free(fingerprint);
    return status == SINGLEFLIGHT_OK;
}

void call_start(struct singleflight_client *client, struct json_object *command)
{
    const char *word = unknown_word(command);
    if (word == NULL) {
        (void)call_begin(client, command, NULL, NULL);
        return;
    }
    char text[128];
    snprintf(text, sizeof(text), "unknown: %s", word);
    struct json_object *event = line_new("error", "call", line_text(command, "call"));
    line_add_text(event, "message", text);
    line_print(event);
}

void call_cancel(const char *name)
{
    pthread_mutex_lock(&lock);
    for (struct call *call = calls; call != NULL; call = call->next) {
        if (!call->is_done && strcmp(call->name, name) == 0)
            singleflight_call_cancel(call->handle);
    }
    pthread_mutex_unlock(&lock);
}

void calls_drain(void)
{
    pthread_mutex_lock(&lock);
    while (calls != NULL)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
