// SPDX-License-Identifier: Apache-2.0
#include "admin/json.h"

#include "admin/json_text.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// --- leaves ---

static void add_text(struct json_object *object, const char *name, const char *text)
{
    json_object_object_add(object, name, text == NULL ? NULL : json_object_new_string(text));
}

static void add_truth(struct json_object *object, const char *name, bool value)
{
    json_object_object_add(object, name, json_object_new_boolean(value));
}

static struct json_object *new_number(uint64_t number)
{
    return number == SFL_ADMIN_NONE ? NULL : json_object_new_uint64(number);
}

static void add_number(struct json_object *object, const char *name, uint64_t number)
{
    json_object_object_add(object, name, new_number(number));
}

// With three digits behind the point, which is as much as anybody reads.
static struct json_object *new_fraction(double value)
{
    char text[40];
    if (!isfinite(value))
        return NULL;
    snprintf(text, sizeof(text), "%.10g", round(value * 1000) / 1000);
    return json_object_new_double_s(value, text);
}

static void add_fraction(struct json_object *object, const char *name, double value)
{
    json_object_object_add(object, name, new_fraction(value));
}

static void add_span(struct json_object *object, const char *name, struct sfl_span span)
{
    json_object_object_add(object, name, sfl_json_new_text(span));
}

static void add_visible(struct json_object *object, const char *name, struct sfl_span span,
                        bool is_hidden)
{
    json_object_object_add(object, name, is_hidden ? NULL : sfl_json_new_text(span));
}

// A token is larger than the numbers of JavaScript.
static void add_long(struct json_object *object, const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, number);
    add_text(object, name, text);
}

static void add_token(struct json_object *object, uint64_t token, bool is_hidden)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, token);
    add_text(object, "token", is_hidden ? NULL : text);
}

// A key may hold any bytes, and JSON is text: such a key is shown as well as it can be, and stands
// whole beside that. One that is cut could be another key, so it never stands there.
static void add_key(struct json_object *object, struct sfl_span key, size_t whole_size,
                    bool is_hidden)
{
    bool is_cut = whole_size > key.size;
    add_visible(object, "key", key, is_hidden);
    if (is_cut && !is_hidden) {
        add_truth(object, "key_cut", true);
        add_number(object, "key_bytes", whole_size);
    }
    if (!is_cut && !is_hidden && !sfl_utf8_is_valid(key))
        json_object_object_add(object, "key_base64", sfl_json_new_base64(key));
}

static struct json_object *add_object(struct json_object *object, const char *name)
{
    struct json_object *added = json_object_new_object();
    json_object_object_add(object, name, added);
    return added;
}

static struct json_object *add_array(struct json_object *object, const char *name)
{
    struct json_object *added = json_object_new_array();
    json_object_object_add(object, name, added);
    return added;
}

static char *finish(struct json_object *object)
{
    char *text = sfl_json_print(object);
    json_object_put(object);
    return text;
}

// --- status ---

static void add_counts(struct json_object *object, const struct sfl_admin_status *status)
{
    struct json_object *counters = add_object(object, "counters");
    struct json_object *current = add_object(object, "current");
    struct json_object *limits = add_object(object, "limits");
    struct json_object *rates = add_object(object, "rates");
#define ADD(name) add_number(counters, #name, status->counts->counters.name);
    SFL_ADMIN_COUNTERS_LIST(ADD)
#undef ADD
#define ADD(name) add_number(current, #name, status->counts->current.name);
    SFL_ADMIN_CURRENT_LIST(ADD)
#undef ADD
#define ADD(name) add_number(limits, #name, status->limits->name);
    SFL_ADMIN_LIMITS_LIST(ADD)
#undef ADD
    add_fraction(rates, "calls_per_s", status->rates->calls_per_s);
    add_fraction(rates, "executions_per_s", status->rates->executions_per_s);
    add_fraction(rates, "saved_per_s", status->rates->saved_per_s);
}

// Reasons name files of the machine: for those who are known.
static void add_files(struct json_object *object, const char *name,
                      const struct sfl_admin_files *files, bool are_certificates, bool tells)
{
    struct json_object *list = add_array(object, name);
    for (unsigned i = 0; i < files->count; i++) {
        const struct sfl_admin_file *file = &files->items[i];
        struct json_object *row = json_object_new_object();
        add_text(row, "name", tells ? file->name : NULL);
        if (are_certificates)
            json_object_object_add(row, "not_after_ms",
                                   json_object_new_int64(file->not_after_unix_s * 1000));
        add_truth(row, "failing", file->is_failing);
        add_text(row, "why", tells ? file->why : NULL);
        json_object_array_add(list, row);
    }
}

static void add_health(struct json_object *object, const struct sfl_admin_health *health,
                       bool tells)
{
    struct json_object *store = add_object(object, "store");
    add_truth(store, "enabled", health->has_store);
    add_truth(store, "failing", health->is_store_failing);
    add_number(store, "bytes_waiting", health->store_bytes_waiting);
    add_text(store, "why", health->store_why);
    add_files(object, "certificates", &health->certificates, true, tells);
    add_files(object, "files", &health->files, false, tells);
}

static void add_group(struct json_object *list, const struct sfl_group_row *group)
{
    struct json_object *row = json_object_new_object();
    const struct sfl_admin_group *seen = &group->group;
    add_span(row, "group", seen->name);
    add_number(row, "flights", seen->flights);
    add_number(row, "callers", seen->callers);
    add_number(row, "held_bytes", seen->held_bytes);
    add_number(row, "retained_bytes", seen->retained_bytes);
    add_fraction(row, "joins_per_s", group->joins_per_s);
    struct json_object *limits = add_object(row, "limits");
#define ADD(name) add_number(limits, #name, seen->limits.name);
    SFL_ADMIN_GROUP_LIMITS_LIST(ADD)
#undef ADD
    json_object_array_add(list, row);
}

static void add_groups(struct json_object *object, const struct sfl_groups *groups)
{
    struct json_object *list = add_array(object, "groups");
    add_number(object, "groups_total", groups->total);
    for (size_t i = 0; i < groups->top_count; i++)
        add_group(list, groups->top[i]);
}

// Whether there is any group in which it may.
static bool may_somewhere(const struct sfl_admin_status *status, enum sfl_right right)
{
    if (sfl_viewer_may(status->viewer, right, sfl_span_of_text("default")))
        return true;
    for (size_t i = 0; i < status->groups->top_count; i++) {
        if (sfl_viewer_may(status->viewer, right, status->groups->top[i]->group.name))
            return true;
    }
    return false;
}

static void add_viewer(struct json_object *object, const struct sfl_admin_status *status)
{
    char name[SFL_VIEWER_NAME_MAX];
    struct json_object *viewer = add_object(object, "viewer");
    sfl_viewer_name(status->viewer, name);
    add_truth(viewer, "rights", status->viewer->security != NULL);
    add_text(viewer, "name", sfl_viewer_is_known(status->viewer) ? name : NULL);
    add_truth(viewer, "sees_keys", may_somewhere(status, SFL_RIGHT_LIST));
    add_truth(viewer, "can_forget", may_somewhere(status, SFL_RIGHT_FORGET));
    add_truth(viewer, "can_end", may_somewhere(status, SFL_RIGHT_END));
}

char *sfl_json_status(const struct sfl_admin_status *status)
{
    struct json_object *object = json_object_new_object();
    const struct sfl_admin_health *health = status->health;
    add_number(object, "now_ms", status->now_unix_ms);
    add_text(object, "version", status->sources->version);
    add_text(object, "revision", status->sources->revision);
    add_number(object, "started_ms", status->sources->started_unix_ms);
    add_truth(object, "ready", status->why_not_ready == NULL);
    add_text(object, "why_not_ready", status->why_not_ready);
    add_truth(object, "draining", health->is_draining);
    add_counts(object, status);
    add_health(object, health,
               sfl_viewer_is_known(status->viewer) || !sfl_viewer_has_rights_on(status->viewer));
    add_groups(object, status->groups);
    add_viewer(object, status);
    return finish(object);
}

// --- history ---

static const char *const series_names[SFL_HISTORY_SERIES] = {
#define SFL_HISTORY_NAME(name) #name,
    SFL_HISTORY_LIST(SFL_HISTORY_NAME)
#undef SFL_HISTORY_NAME
};

// The points of the last hour, each at its place in time; a clock that jumps leaves gaps.
static void place_points(const struct sfl_history *history, uint64_t first_ms,
                         const struct sfl_history_point *places[static SFL_HISTORY_POINTS])
{
    for (size_t i = 0; i < sfl_history_count(history); i++) {
        const struct sfl_history_point *point = sfl_history_at(history, i);
        if (point->at_unix_ms + SFL_HISTORY_STEP_MS / 2 < first_ms)
            continue;
        uint64_t place =
            (point->at_unix_ms + SFL_HISTORY_STEP_MS / 2 - first_ms) / SFL_HISTORY_STEP_MS;
        if (place < SFL_HISTORY_POINTS)
            places[place] = point;
    }
}

char *sfl_json_history(const struct sfl_history *history, uint64_t now_unix_ms)
{
    const struct sfl_history_point *places[SFL_HISTORY_POINTS] = {NULL};
    size_t count = sfl_history_count(history);
    uint64_t last_ms = count == 0 ? now_unix_ms : sfl_history_at(history, count - 1)->at_unix_ms;
    uint64_t first_ms = last_ms - (uint64_t)(SFL_HISTORY_POINTS - 1) * SFL_HISTORY_STEP_MS;
    struct json_object *object = json_object_new_object();
    place_points(history, first_ms, places);
    add_number(object, "step_ms", SFL_HISTORY_STEP_MS);
    add_number(object, "first_ms", first_ms);
    for (size_t series = 0; series < SFL_HISTORY_SERIES; series++) {
        struct json_object *list = add_array(object, series_names[series]);
        for (size_t i = 0; i < SFL_HISTORY_POINTS; i++)
            json_object_array_add(
                list, places[i] == NULL ? NULL : new_fraction(places[i]->values[series]));
    }
    return finish(object);
}

char *sfl_json_point(const struct sfl_history_point *point)
{
    struct json_object *object = json_object_new_object();
    add_number(object, "at_ms", point->at_unix_ms);
    for (size_t series = 0; series < SFL_HISTORY_SERIES; series++)
        add_fraction(object, series_names[series], point->values[series]);
    return finish(object);
}

// --- windows ---

static struct json_object *new_flight(const struct sfl_flight_row *row,
                                      const struct sfl_viewer *viewer)
{
    struct json_object *object = json_object_new_object();
    const struct sfl_admin_flight *flight = &row->flight;
    add_span(object, "group", flight->group);
    add_key(object, flight->key, row->key_size, row->is_hidden);
    add_text(object, "state", sfl_admin_state_word(flight->state));
    add_visible(object, "leader", flight->leader, row->is_hidden);
    add_number(object, "callers", flight->callers);
    add_number(object, "age_ms", flight->age_ms);
    add_number(object, "lease_ms", flight->lease_ms);
    add_number(object, "expires_ms", flight->expires_ms);
    add_text(object, "outcome", flight->outcome);
    add_number(object, "attempt", flight->attempt);
    add_number(object, "bytes", flight->bytes);
    add_token(object, flight->token, row->is_hidden);
    bool is_cut = row->key_size > flight->key.size;
    if (is_cut) { // whoever acts needs the whole key
        if (!row->is_hidden)
            add_long(object, "key_hash", row->key_hash);
        add_truth(object, "can_forget", false);
        add_truth(object, "can_end", false);
    } else if (sfl_viewer_has_rights_on(viewer)) {
        add_truth(object, "can_forget", sfl_viewer_may(viewer, SFL_RIGHT_FORGET, flight->group));
        add_truth(object, "can_end", sfl_viewer_may(viewer, SFL_RIGHT_END, flight->group));
    }
    return object;
}

char *sfl_json_flights(const struct sfl_flights_window *window, const struct sfl_viewer *viewer)
{
    struct json_object *object = json_object_new_object();
    add_number(object, "total", window->total);
    struct json_object *rows = add_array(object, "rows");
    for (size_t i = window->query->flights.offset; i < window->count; i++)
        json_object_array_add(rows, new_flight(window->rows[i], viewer));
    return finish(object);
}

static struct json_object *new_run(const struct sfl_run_row *row)
{
    struct json_object *object = json_object_new_object();
    const struct sfl_admin_run *run = &row->run;
    add_span(object, "group", run->group);
    add_key(object, run->key, row->key_size, row->is_hidden);
    add_visible(object, "leader", run->leader, row->is_hidden);
    add_number(object, "began_ms", run->began_ms);
    add_number(object, "ended_ms", run->ended_ms);
    add_number(object, "took_ms",
               run->ended_ms > run->began_ms ? run->ended_ms - run->began_ms : 0);
    add_text(object, "outcome", run->outcome);
    add_visible(object, "detail", run->detail, row->is_hidden);
    add_number(object, "callers", run->callers);
    add_number(object, "attempt", run->attempt);
    add_number(object, "bytes", run->bytes);
    add_token(object, run->token, row->is_hidden);
    return object;
}

char *sfl_json_runs(const struct sfl_runs_window *window)
{
    struct json_object *object = json_object_new_object();
    add_number(object, "total", window->total);
    struct json_object *rows = add_array(object, "rows");
    for (size_t i = 0; i < window->count; i++)
        json_object_array_add(rows, new_run(window->rows[i]));
    return finish(object);
}

// --- answers ---

char *sfl_json_error(const char *text)
{
    struct json_object *object = json_object_new_object();
    add_text(object, "error", text);
    return finish(object);
}

char *sfl_json_truth(const char *name, bool value)
{
    struct json_object *object = json_object_new_object();
    add_truth(object, name, value);
    return finish(object);
}
