// SPDX-License-Identifier: Apache-2.0
// The same as JSON, for programs.
#include "base/utf8.h"
#include "cli/memory.h"
#include "cli/snapshot.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static void add_text(struct json_object *object, const char *name, const char *text)
{
    json_object_object_add(object, name, json_object_new_string(text));
}

static void add_number(struct json_object *object, const char *name, uint64_t number)
{
    json_object_object_add(object, name, json_object_new_uint64(number));
}

// JSON is text, a key is bytes: "key" is for people, "key_hex" for programs that must be exact.
static void add_key(struct json_object *object, const unsigned char *bytes, size_t count)
{
    char *text = sfl_cli_allocate(count * 2 + 1);
    memcpy(text, bytes, count);
    if (!sfl_utf8_is_valid(sfl_span_of(bytes, count))) {
        for (size_t i = 0; i < count; i++)
            text[i] = bytes[i] < 0x80 ? (char)bytes[i] : '?';
    }
    json_object_object_add(object, "key", json_object_new_string_len(text, (int)count));
    for (size_t i = 0; i < count; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    add_text(object, "key_hex", text);
    free(text);
}

// The library escapes the control characters of ASCII; those of Unicode (C2 80 to C2 9F) and DEL
// act on a terminal, too.
static void print_text(FILE *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at == 0x7f)
            fputs("\\u007f", out);
        else if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            fprintf(out, "\\u%04x", *++at);
        else
            fputc(*at, out);
    }
}

static void print_and_free(FILE *out, struct json_object *object)
{
    int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
    print_text(out, json_object_to_json_string_ext(object, flags));
    fputc('\n', out);
    json_object_put(object);
}

void sfl_cli_print_flights_json(FILE *out, const struct sfl_cli_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->flight_count; i++) {
        const struct singleflight_flight *flight = &snapshot->flights[i];
        struct json_object *object = json_object_new_object();
        add_text(object, "address", flight->address);
        add_text(object, "group", flight->group);
        add_key(object, flight->key, flight->key_bytes);
        add_text(object, "state", sfl_cli_state_name(flight->state));
        json_object_object_add(object, "forgotten", json_object_new_boolean(flight->forgotten));
        add_number(object, "token", flight->token);
        add_number(object, "attempt", flight->attempt);
        add_text(object, "leader", flight->leader);
        add_number(object, "callers", flight->callers);
        add_number(object, "running_ms", flight->running_ms);
        add_number(object, "value_bytes", flight->value_bytes);
        json_object_object_add(object, "next", json_object_new_boolean(flight->next));
        json_object_object_add(object, "overdue", json_object_new_boolean(flight->overdue));
        add_text(object, "outcome", singleflight_outcome_name(flight->outcome));
        json_object_object_add(object, "code", json_object_new_int(flight->code));
        add_number(object, "ended_unix_ms", flight->ended_unix_ms);
        add_number(object, "expires_ms", flight->expires_ms);
        add_text(object, "home", flight->home);
        print_and_free(out, object);
    }
}

void sfl_cli_print_runs_json(FILE *out, const struct sfl_cli_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->run_count; i++) {
        const struct singleflight_run *run = &snapshot->runs[i];
        struct json_object *object = json_object_new_object();
        add_text(object, "address", run->address);
        add_text(object, "group", run->group);
        add_key(object, run->key, run->key_bytes);
        add_text(object, "outcome", singleflight_outcome_name(run->outcome));
        json_object_object_add(object, "code", json_object_new_int(run->code));
        add_text(object, "message", run->message);
        add_text(object, "leader", run->leader);
        add_number(object, "begun_unix_ms", run->begun_unix_ms);
        add_number(object, "led_unix_ms", run->led_unix_ms);
        add_number(object, "ended_unix_ms", run->ended_unix_ms);
        add_number(object, "attempts", run->attempts);
        add_number(object, "callers", run->callers);
        add_number(object, "retained_hits", run->retained_hits);
        add_number(object, "value_bytes", run->value_bytes);
        add_number(object, "token", run->token);
        print_and_free(out, object);
    }
}

static void add_fraction(struct json_object *object, const char *name, double value)
{
    char text[40];
    snprintf(text, sizeof(text), "%.3f", value);
    json_object_object_add(object, name, json_object_new_double_s(value, text));
}

static void add_rates(struct json_object *object, const struct sfl_cli_snapshot *snapshot,
                      const struct singleflight_stats *stats)
{
    struct sfl_cli_rates rates = sfl_cli_rates_of(snapshot, stats);
    double saved = sfl_cli_saved_part(stats);
    if (saved >= 0)
        add_fraction(object, "saved_part", saved);
    if (!rates.is_known)
        return;
    add_fraction(object, "calls_per_s", rates.calls);
    add_fraction(object, "executions_per_s", rates.executions);
    add_fraction(object, "saved_per_s", rates.saved);
}

void sfl_cli_print_stats_json(FILE *out, const struct sfl_cli_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->stats_count; i++) {
        const struct singleflight_stats *stats = &snapshot->stats[i];
        struct json_object *object = json_object_new_object();
        add_text(object, "address", stats->address);
        add_number(object, "calls", stats->calls);
        add_number(object, "executions", stats->executions);
        add_number(object, "executions_saved", stats->executions_saved);
        add_number(object, "retained_hits", stats->retained_hits);
        add_number(object, "leaders_lost", stats->leaders_lost);
        add_number(object, "fenced", stats->fenced);
        add_number(object, "forgets", stats->forgets);
        add_number(object, "refused", stats->refused);
        add_number(object, "flights_now", stats->flights_now);
        add_number(object, "callers_now", stats->callers_now);
        add_number(object, "retained_now", stats->retained_now);
        add_number(object, "bytes_now", stats->bytes_now);
        add_number(object, "uptime_ms", stats->uptime_ms);
        add_number(object, "connections_now", stats->connections_now);
        add_number(object, "connections_refused", stats->connections_refused);
        add_number(object, "streams_silent_now", stats->streams_silent_now);
        add_number(object, "streams_ended", stats->streams_ended);
        add_number(object, "retain_refused", stats->retain_refused);
        add_number(object, "outcomes_lost", stats->outcomes_lost);
        add_number(object, "store_failing", stats->store_failing);
        add_number(object, "store_bytes_waiting", stats->store_bytes_waiting);
        add_number(object, "leads_unkept", stats->leads_unkept);
        add_rates(object, snapshot, stats);
        print_and_free(out, object);
    }
}

void sfl_cli_print_health_json(FILE *out, const struct singleflight_health *health)
{
    struct json_object *object = json_object_new_object();
    add_text(object, "address", health->address);
    json_object_object_add(object, "serves", json_object_new_boolean(health->serves));
    add_text(object, "message", health->message);
    print_and_free(out, object);
}
