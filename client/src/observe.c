// SPDX-License-Identifier: Apache-2.0
#include "src/observe.h"

#include "base/clock.h"
#include "src/call.h"

#include <inttypes.h>
#include <stdio.h>

// A key is cut there in a line.
#define KEY_BYTES_MAX 64
#define LINE_SIZE 1024

typedef void event_function(void *context, const struct singleflight_event *event);

static const struct singleflight_observer *observer_of(const struct singleflight_call *call)
{
    return &call->client->settings.observer;
}

static bool is_observed(const struct singleflight_call *call)
{
    return call->client->settings.is_observed;
}

static struct singleflight_event event_of(const struct singleflight_call *call,
                                          const struct sfl_leader_terms *terms)
{
    const struct singleflight_do_options *options = &call->join.options;
    return (struct singleflight_event){
        .group = options->group[0] == 0 ? "default" : options->group,
        .key = options->key,
        .key_bytes = options->key_bytes,
        .attempt = terms == NULL ? 0 : terms->attempt,
        .token = terms == NULL ? 0 : terms->token,
    };
}

// Bytes that would not stay within their word of a line are written in hexadecimal.
static void write_key(char *text, const struct singleflight_event *event)
{
    const uint8_t *key = event->key;
    for (size_t i = 0; i < event->key_bytes && i < KEY_BYTES_MAX; i++) {
        bool is_plain = key[i] > ' ' && key[i] <= '~' && key[i] != '\\' && key[i] != '"';
        text += sprintf(text, is_plain ? "%c" : "\\x%02x", key[i]);
    }
    snprintf(text, 4, "%s", event->key_bytes > KEY_BYTES_MAX ? "..." : "");
}

static void log_event(const struct singleflight_observer *observer, const char *name,
                      const struct singleflight_event *event)
{
    char key[4 * KEY_BYTES_MAX + 4];
    char line[LINE_SIZE];
    write_key(key, event);
    int size =
        snprintf(line, sizeof(line), "%s group=%.128s key=%s attempt=%" PRIu32 " token=%" PRIu64,
                 name, event->group, key, event->attempt, event->token);
    if (event->role != NULL)
        snprintf(line + size, sizeof(line) - (size_t)size,
                 " role=%s status=%s outcome=%s duration_us=%" PRIu64, event->role,
                 singleflight_status_name(event->status), singleflight_outcome_name(event->outcome),
                 event->duration_us);
    observer->log(observer->context, line);
}

static void tell(const struct singleflight_call *call, const char *name, event_function *function,
                 const struct singleflight_event *event)
{
    const struct singleflight_observer *observer = observer_of(call);
    if (function != NULL)
        function(observer->context, event);
    if (observer->log != NULL)
        log_event(observer, name, event);
}

void sfl_observe_begin(struct singleflight_call *call)
{
    if (is_observed(call))
        call->observed.begun_ns = sfl_clock_now_ns();
}

void sfl_observe_lead(struct singleflight_call *call, const struct sfl_leader_terms *terms,
                      bool alone)
{
    if (!is_observed(call))
        return;
    if (alone) {
        sfl_observe_alone(call, terms);
        return;
    }
    const struct singleflight_observer *observer = observer_of(call);
    const struct singleflight_event event = event_of(call, terms);
    call->observed.has_led = true;
    if (call->observed.has_followed && terms->attempt > 1)
        tell(call, "takeover", observer->takeover, &event);
    tell(call, "led", observer->led, &event);
}

void sfl_observe_alone(struct singleflight_call *call, const struct sfl_leader_terms *terms)
{
    if (!is_observed(call))
        return;
    const struct singleflight_event event = event_of(call, terms);
    tell(call, "failed_open", observer_of(call)->failed_open, &event);
}

void sfl_observe_follow(struct singleflight_call *call, uint32_t attempt)
{
    if (attempt == 0 || call->observed.has_followed || !is_observed(call))
        return;
    struct singleflight_event event = event_of(call, NULL);
    event.attempt = attempt;
    call->observed.has_followed = true;
    tell(call, "followed", observer_of(call)->followed, &event);
}

void sfl_observe_loss(struct singleflight_call *call, const struct sfl_leader_terms *terms)
{
    if (!is_observed(call))
        return;
    const struct singleflight_event event = event_of(call, terms);
    tell(call, "lost", observer_of(call)->lost, &event);
}

static const char *role_of(const struct singleflight_call *call,
                           const struct singleflight_result *result)
{
    if (result->failed_open)
        return "alone";
    if (result->retained)
        return "retained";
    return result->led || call->observed.has_led ? "leader" : "follower";
}

void sfl_observe_end(struct singleflight_call *call, const struct singleflight_result *result)
{
    const struct singleflight_observer *observer = observer_of(call);
    if (!is_observed(call))
        return;
    struct singleflight_event event = event_of(call, NULL);
    event.attempt = result->attempt;
    event.token = result->token;
    event.duration_us = (sfl_clock_now_ns() - call->observed.begun_ns) / 1000;
    event.role = role_of(call, result);
    event.status = result->status;
    event.outcome = result->outcome;
    tell(call, "ended", observer->ended, &event);
}

void sfl_observe_line(void *context, const char *line)
{
    const struct singleflight_client *client = context;
    const struct singleflight_observer *observer = &client->settings.observer;
    if (observer->log != NULL)
        observer->log(observer->context, line);
}

const char *singleflight_outcome_name(enum singleflight_outcome outcome)
{
    switch (outcome) {
    case SINGLEFLIGHT_OUTCOME_NONE:
        return "";
    case SINGLEFLIGHT_OUTCOME_OK:
        return "ok";
    case SINGLEFLIGHT_OUTCOME_ERROR:
        return "error";
    case SINGLEFLIGHT_OUTCOME_PANIC:
        return "panic";
    case SINGLEFLIGHT_OUTCOME_ABANDONED:
        return "abandoned";
    }
    return "unknown";
}
