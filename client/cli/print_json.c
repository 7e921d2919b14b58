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
static void add_key(struct json_object *object, const struct singleflight_flight *flight)
{
    const unsigned char *bytes = flight->key;
    char *text = sfl_cli_allocate(flight->key_bytes * 2 + 1);
    memcpy(text, bytes, flight->key_bytes);
    if (!sfl_utf8_is_valid(sfl_span_of(bytes, flight->key_bytes))) {
        for (size_t i = 0; i < flight->key_bytes; i++)
            text[i] = bytes[i] < 0x80 ? (char)bytes[i] : '?';
    }
    json_object_object_add(object, "key", json_object_new_string_len(text, (int)flight->key_bytes));
    for (size_t i = 0; i < flight->key_bytes; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    add_text(object, "key_hex", text);
    free(text);
}

static void print_and_free(FILE *out, struct json_object *object)
{
    int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
    fprintf(out, "%s\n", json_object_to_json_string_ext(object, flags));
    json_object_put(object);
}

void sfl_cli_print_flights_json(FILE *out, const struct sfl_cli_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->flight_count; i++) {
        const struct singleflight_flight *flight = &snapshot->flights[i];
        struct json_object *object = json_object_new_object();
        add_text(object, "address", flight->address);
        add_text(object, "group", flight->group);
        add_key(object, flight);
        add_text(object, "state", sfl_cli_state_name(flight->state));
        json_object_object_add(object, "forgotten", json_object_new_boolean(flight->forgotten));
        add_number(object, "token", flight->token);
        add_number(object, "attempt", flight->attempt);
        add_text(object, "leader", flight->leader);
        add_number(object, "callers", flight->callers);
        add_number(object, "running_ms", flight->running_ms);
        add_number(object, "value_bytes", flight->value_bytes);
        add_number(object, "expires_ms", flight->expires_ms);
        add_text(object, "home", flight->home);
        print_and_free(out, object);
    }
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
        print_and_free(out, object);
    }
}
