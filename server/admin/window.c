// SPDX-License-Identifier: Apache-2.0
#include "admin/window.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

// --- what is asked for ---

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

// Of any bytes, zeros too.
static bool is_same_text(const uint8_t *a, const uint8_t *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

static bool contains(struct sfl_span text, struct sfl_span search)
{
    for (size_t i = 0; i + search.size <= text.size; i++) {
        if (is_same_text(text.data + i, search.data, search.size))
            return true;
    }
    return false;
}

static bool wants(const struct sfl_query_window *window, struct sfl_span group, struct sfl_span key,
                  struct sfl_span leader)
{
    struct sfl_span search = sfl_query_span(&window->search);
    if (window->group.size > 0 && !sfl_span_equal(sfl_query_span(&window->group), group))
        return false;
    return search.size == 0 || contains(key, search) || contains(group, search) ||
           contains(leader, search);
}

static uint8_t *copy(uint8_t *at, struct sfl_span *span)
{
    if (span->size > 0)
        memcpy(at, span->data, span->size);
    *span = sfl_span_of(at, span->size);
    return at + span->size;
}

// --- flights ---

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? 1 : a > b ? -1 : 0; // the greatest first
}

static int compare_spans(struct sfl_span a, struct sfl_span b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    return order != 0 ? order : compare_numbers(b.size, a.size);
}

static int compare_by(enum sfl_flight_sort sort, const struct sfl_admin_flight *a,
                      const struct sfl_admin_flight *b)
{
    switch (sort) {
    case SFL_SORT_CALLERS:
        return compare_numbers(a->callers, b->callers);
    case SFL_SORT_AGE:
        return compare_numbers(a->age_ms, b->age_ms);
    case SFL_SORT_BYTES:
        return compare_numbers(a->bytes, b->bytes);
    case SFL_SORT_ATTEMPT:
        return compare_numbers(a->attempt, b->attempt);
    case SFL_SORT_KEY:
        return compare_spans(a->key, b->key);
    case SFL_SORT_GROUP:
        return compare_spans(a->group, b->group);
    }
    return 0;
}

// Below 0 when `a` comes first. Two flights are never equal, so the order stays from look to look.
static int compare(enum sfl_flight_sort sort, const struct sfl_admin_flight *a,
                   const struct sfl_admin_flight *b)
{
    int order = compare_by(sort, a, b);
    if (order == 0)
        order = compare_spans(a->group, b->group);
    if (order == 0)
        order = compare_spans(a->key, b->key);
    return order != 0 ? order : compare_numbers(a->token, b->token);
}

// Tells long keys apart that begin alike. Never 0.
static uint64_t hash_of(struct sfl_span key)
{
    uint64_t hash = sfl_hash_stable(key, 0);
    return hash == 0 ? 1 : hash;
}

static struct sfl_span cut(struct sfl_span key)
{
    return key.size > SFL_WINDOW_KEY_MAX ? sfl_span_of(key.data, SFL_WINDOW_KEY_MAX) : key;
}

static bool has_room(const size_t *kept, size_t bytes_before, size_t bytes)
{
    return bytes_before + bytes <= SFL_WINDOW_BYTES_MAX &&
           (kept == NULL || *kept + bytes <= SFL_WINDOWS_BYTES_MAX);
}

static void keep(size_t *kept, size_t *bytes_of_window, size_t bytes)
{
    *bytes_of_window += bytes;
    if (kept != NULL)
        *kept += bytes;
}

static void let_go(size_t *kept, size_t *bytes_of_window, size_t bytes)
{
    *bytes_of_window -= bytes;
    if (kept != NULL)
        *kept -= bytes;
}

void sfl_flights_window_init(struct sfl_flights_window *window, const struct sfl_query *query,
                             size_t *kept)
{
    *window = (struct sfl_flights_window){.query = query};
    window->kept = kept;
}

void sfl_flights_window_deinit(struct sfl_flights_window *window)
{
    for (size_t i = 0; i < window->count; i++)
        free(window->rows[i]);
    free(window->rows);
    let_go(window->kept, &window->bytes, window->bytes);
    sfl_flights_window_init(window, window->query, window->kept);
}

static bool is_before(const struct sfl_flights_window *window, size_t a, size_t b)
{
    return compare(window->query->sort, &window->rows[a]->flight, &window->rows[b]->flight) < 0;
}

static void swap(struct sfl_flights_window *window, size_t a, size_t b)
{
    struct sfl_flight_row *row = window->rows[a];
    window->rows[a] = window->rows[b];
    window->rows[b] = row;
}

static void sift_up(struct sfl_flights_window *window, size_t i)
{
    while (i > 0 && is_before(window, (i - 1) / 2, i)) {
        swap(window, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void sift_down(struct sfl_flights_window *window, size_t i, size_t count)
{
    for (;;) {
        size_t last = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++) {
            if (is_before(window, last, child))
                last = child;
        }
        if (last == i)
            return;
        swap(window, i, last);
        i = last;
    }
}

static size_t flight_bytes(const struct sfl_admin_flight *flight)
{
    return sizeof(struct sfl_flight_row) + flight->group.size + flight->key.size +
           flight->leader.size;
}

// Makes room for one more row pointer. False when there is no memory.
static bool reserve(struct sfl_flights_window *window)
{
    if (window->count < window->capacity)
        return true;
    size_t capacity = window->capacity == 0 ? 128 : window->capacity * 2;
    struct sfl_flight_row **rows =
        realloc(window->rows, capacity * sizeof(struct sfl_flight_row *));
    if (rows == NULL)
        return false;
    window->rows = rows;
    window->capacity = capacity;
    return true;
}

static struct sfl_flight_row *create_flight_row(const struct sfl_admin_flight *flight,
                                                bool is_hidden)
{
    struct sfl_flight_row *row = malloc(flight_bytes(flight));
    if (row == NULL)
        return NULL;
    row->flight = *flight;
    row->is_hidden = is_hidden;
    copy(copy(copy(row->bytes, &row->flight.group), &row->flight.key), &row->flight.leader);
    return row;
}

static void put(struct sfl_flights_window *window, const struct sfl_admin_flight *flight,
                struct sfl_span key, bool is_hidden)
{
    struct sfl_flight_row *row = reserve(window) ? create_flight_row(flight, is_hidden) : NULL;
    if (row == NULL)
        return;
    row->key_size = key.size;
    row->key_hash = key.size > flight->key.size ? hash_of(key) : 0;
    keep(window->kept, &window->bytes, flight_bytes(flight));
    window->rows[window->count] = row;
    sift_up(window, window->count++);
}

static void drop_last(struct sfl_flights_window *window)
{
    let_go(window->kept, &window->bytes, flight_bytes(&window->rows[0]->flight));
    free(window->rows[0]);
    window->rows[0] = window->rows[--window->count];
    sift_down(window, 0, window->count);
}

static bool is_full(const struct sfl_flights_window *window, const struct sfl_admin_flight *flight)
{
    const struct sfl_query_window *wanted = &window->query->flights;
    return window->count >= (size_t)wanted->offset + wanted->limit ||
           !has_room(window->kept, window->bytes, flight_bytes(flight));
}

void sfl_flights_window_offer(struct sfl_flights_window *window,
                              const struct sfl_admin_flight *flight, bool is_hidden)
{
    struct sfl_admin_flight seen = *flight;
    const struct sfl_query *query = window->query;
    if (is_hidden) {
        seen.key = (struct sfl_span){NULL, 0};
        seen.leader = (struct sfl_span){NULL, 0};
    }
    if (query->states != 0 && (query->states & 1U << seen.state) == 0)
        return;
    if (query->token != 0 && (is_hidden || query->token != seen.token))
        return;
    if (query->key_hash != 0 && (is_hidden || query->key_hash != hash_of(seen.key)))
        return;
    if (!wants(&query->flights, seen.group, seen.key, seen.leader))
        return;
    struct sfl_span key = seen.key;
    if (query->token == 0)
        seen.key = cut(seen.key);
    window->total++;
    while (is_full(window, &seen)) {
        if (window->count == 0 || compare(query->sort, &seen, &window->rows[0]->flight) > 0)
            return;
        drop_last(window);
    }
    put(window, &seen, key, is_hidden);
}

void sfl_flights_window_finish(struct sfl_flights_window *window)
{
    for (size_t count = window->count; count > 1; count--) {
        swap(window, 0, count - 1);
        sift_down(window, 0, count - 1);
    }
}

// --- whether anything is new ---

// Never 0, which is the mark of what was not shown yet.
static uint64_t mix(uint64_t mark, const void *data, size_t size)
{
    mark = sfl_hash_stable(sfl_span_of(data, size), mark);
    return mark == 0 ? 1 : mark;
}

static uint64_t mix_number(uint64_t mark, uint64_t number)
{
    return mix(mark, &number, sizeof(number));
}

static uint64_t mix_span(uint64_t mark, struct sfl_span span)
{
    return mix(mark, span.data, span.size);
}

// When something is over, in seconds: the same at every look, or nearly so.
static uint64_t end_of(uint64_t now_unix_ms, uint64_t left_ms)
{
    return left_ms == SFL_ADMIN_NONE ? 0 : (now_unix_ms + left_ms) / 1000 + 1;
}

static uint64_t mark_flight(uint64_t mark, const struct sfl_admin_flight *flight,
                            uint64_t now_unix_ms)
{
    const uint64_t numbers[] = {
        (uint64_t)flight->state,
        flight->callers,
        flight->attempt,
        flight->bytes,
        flight->token,
        (now_unix_ms - flight->age_ms) / 1000,
        end_of(now_unix_ms, flight->lease_ms),
        end_of(now_unix_ms, flight->expires_ms),
    };
    mark = mix_span(mix_span(mark, flight->group), flight->key);
    mark = mix_span(mark, flight->leader);
    return mix(mark, numbers, sizeof(numbers));
}

uint64_t sfl_flights_window_mark(const struct sfl_flights_window *window, uint64_t now_unix_ms)
{
    uint64_t mark = mix_number(0, window->total);
    for (size_t i = window->query->flights.offset; i < window->count; i++) {
        mark = mix_number(mark, window->rows[i]->is_hidden);
        mark = mark_flight(mark, &window->rows[i]->flight, now_unix_ms);
    }
    return mark;
}

uint64_t sfl_runs_window_mark(const struct sfl_runs_window *window)
{
    uint64_t mark = mix_number(0, window->total);
    for (size_t i = 0; i < window->count; i++) {
        const struct sfl_run_row *row = window->rows[i];
        mark = mix_number(mix_number(mark, row->run.ended_ms), row->run.token);
        mark = mix_number(mark, row->is_hidden);
    }
    return mark;
}

// --- runs ---

void sfl_runs_window_init(struct sfl_runs_window *window, const struct sfl_query *query,
                          size_t *kept)
{
    window->query = query;
    window->kept = kept;
    window->total = 0;
    window->count = 0;
    window->bytes = 0;
}

void sfl_runs_window_deinit(struct sfl_runs_window *window)
{
    for (size_t i = 0; i < window->count; i++)
        free(window->rows[i]);
    let_go(window->kept, &window->bytes, window->bytes);
    sfl_runs_window_init(window, window->query, window->kept);
}

static void add_run(struct sfl_runs_window *window, const struct sfl_admin_run *run,
                    size_t key_size, bool is_hidden)
{
    size_t bytes = sizeof(struct sfl_run_row) + run->group.size + run->key.size + run->leader.size +
                   run->detail.size;
    struct sfl_run_row *row = has_room(window->kept, window->bytes, bytes) ? malloc(bytes) : NULL;
    if (row == NULL)
        return;
    row->run = *run;
    row->key_size = key_size;
    row->is_hidden = is_hidden;
    uint8_t *at = copy(copy(row->bytes, &row->run.group), &row->run.key);
    copy(copy(at, &row->run.leader), &row->run.detail);
    window->rows[window->count++] = row;
    keep(window->kept, &window->bytes, bytes);
}

void sfl_runs_window_offer(struct sfl_runs_window *window, const struct sfl_admin_run *run,
                           bool is_hidden)
{
    const struct sfl_query *query = window->query;
    struct sfl_admin_run seen = *run;
    if (is_hidden) {
        seen.key = (struct sfl_span){NULL, 0};
        seen.leader = (struct sfl_span){NULL, 0};
        seen.detail = (struct sfl_span){NULL, 0};
    }
    if (query->runs_outcome[0] != '\0' && strcmp(query->runs_outcome, seen.outcome) != 0)
        return;
    if (!wants(&query->runs, seen.group, seen.key, seen.leader))
        return;
    size_t key_size = seen.key.size;
    seen.key = cut(seen.key);
    if (window->total++ >= query->runs.offset && window->count < query->runs.limit)
        add_run(window, &seen, key_size, is_hidden);
}
