// SPDX-License-Identifier: Apache-2.0
#include "admin/walk.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum {
    TURN_NS = 2000000,
    TURN_GAP_MS = 1,
    CLOCK_EVERY = 16,    // rows between two looks at the clock
    REST_FACTOR = 4,     // so many times as long as a walk took, the next one waits
    BLOCK_BYTES = 65536, // of copied texts
};

struct block {
    struct block *next;
    size_t used;
    size_t size;
    uint8_t bytes[];
};

union row {
    struct sfl_admin_flight flight;
    struct sfl_admin_run run;
};

struct sfl_walk_batch {
    union row *rows;
    size_t count;
    size_t capacity;
    size_t offered; // so many of them have been
    struct block *blocks;
    bool has_more; // the visit was not at its end
};

// --- copies, under somebody's lock ---

static uint8_t *take(struct sfl_walk_batch *batch, size_t size)
{
    struct block *block = batch->blocks;
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        block = malloc(sizeof(*block) + room);
        if (block == NULL)
            return NULL;
        *block = (struct block){.next = batch->blocks, .size = room};
        batch->blocks = block;
    }
    uint8_t *bytes = block->bytes + block->used;
    block->used += size;
    return bytes;
}

static bool copy(struct sfl_walk_batch *batch, struct sfl_span *span)
{
    uint8_t *bytes = take(batch, span->size);
    if (bytes == NULL)
        return false;
    if (span->size > 0)
        memcpy(bytes, span->data, span->size);
    *span = sfl_span_of(bytes, span->size);
    return true;
}

// NULL when there is no memory: then the row is not seen.
static union row *next_row(struct sfl_walk_batch *batch)
{
    if (batch->count < batch->capacity)
        return &batch->rows[batch->count];
    size_t capacity = batch->capacity == 0 ? 512 : batch->capacity * 2;
    union row *rows = realloc(batch->rows, capacity * sizeof(*rows));
    if (rows == NULL)
        return NULL;
    batch->rows = rows;
    batch->capacity = capacity;
    return &rows[batch->count];
}

static void on_flight(void *visitor, const struct sfl_admin_flight *flight)
{
    struct sfl_walk_batch *batch = visitor;
    union row *row = next_row(batch);
    if (row == NULL)
        return;
    row->flight = *flight;
    if (copy(batch, &row->flight.group) && copy(batch, &row->flight.key) &&
        copy(batch, &row->flight.leader))
        batch->count++;
}

static void on_run(void *visitor, const struct sfl_admin_run *run)
{
    struct sfl_walk_batch *batch = visitor;
    union row *row = next_row(batch);
    if (row == NULL)
        return;
    row->run = *run;
    if (copy(batch, &row->run.group) && copy(batch, &row->run.key) &&
        copy(batch, &row->run.leader) && copy(batch, &row->run.detail))
        batch->count++;
}

static void on_group(void *visitor, const struct sfl_admin_group *group)
{
    sfl_groups_offer(visitor, group);
}

static void empty(struct sfl_walk_batch *batch)
{
    while (batch->blocks != NULL) {
        struct block *block = batch->blocks;
        batch->blocks = block->next;
        free(block);
    }
    batch->count = 0;
    batch->offered = 0;
}

// --- a turn ---

static struct sfl_look *look_of(struct sfl_link *link)
{
    return SFL_CONTAINER_OF(link, struct sfl_look, link);
}

#define FOR_EACH_LOOK(link, list)                                                                  \
    for (struct sfl_link *link = (list)->head.next; link != &(list)->head; link = link->next)

static bool wants(const struct sfl_look *look, enum sfl_walk_part part)
{
    return part == SFL_WALK_FLIGHTS ? look->flights != NULL : look->runs != NULL;
}

static void offer(const struct sfl_walk *walk, const union row *row)
{
    bool are_runs = walk->part == SFL_WALK_RUNS;
    struct sfl_span group = are_runs ? row->run.group : row->flight.group;
    FOR_EACH_LOOK(link, &walk->served)
    {
        struct sfl_look *look = look_of(link);
        if (!wants(look, walk->part))
            continue;
        bool is_hidden = !sfl_viewer_may(look->viewer, SFL_RIGHT_LIST, group);
        if (are_runs)
            sfl_runs_window_offer(look->runs, &row->run, is_hidden);
        else
            sfl_flights_window_offer(look->flights, &row->flight, is_hidden);
    }
}

static bool is_wanted(const struct sfl_walk *walk, enum sfl_walk_part part)
{
    if (part >= SFL_WALK_GROUPS)
        return true;
    FOR_EACH_LOOK(link, &walk->served)
    {
        if (wants(look_of(link), part))
            return true;
    }
    return false;
}

static void fetch(struct sfl_walk *walk)
{
    const struct sfl_admin_sources *sources = walk->sources;
    struct sfl_walk_batch *batch = walk->batch;
    empty(batch);
    if (walk->part == SFL_WALK_FLIGHTS)
        batch->has_more = sources->visit_flights(sources->context, &walk->cursor, on_flight, batch);
    else if (walk->part == SFL_WALK_RUNS)
        batch->has_more = sources->visit_runs(sources->context, &walk->cursor, on_run, batch);
    else
        batch->has_more =
            sources->visit_groups(sources->context, &walk->cursor, on_group, &walk->groups);
}

static void begin_part(struct sfl_walk *walk, enum sfl_walk_part part)
{
    while (!is_wanted(walk, part))
        part++;
    empty(walk->batch);
    walk->part = part;
    walk->cursor = (struct sfl_admin_cursor){{0}};
    walk->batch->has_more = true;
    if (part == SFL_WALK_TELLING)
        sfl_groups_finish(&walk->groups, sfl_clock_now_ms());
}

static void tell_one(struct sfl_walk *walk)
{
    struct sfl_link *link = sfl_list_pop(&walk->served);
    if (link == NULL) {
        walk->part = SFL_WALK_OVER;
        return;
    }
    struct sfl_look *look = look_of(link);
    if (look->flights != NULL)
        sfl_flights_window_finish(look->flights);
    look->on_done(look);
}

// Does a little. The walk is over when its part says so.
static void step(struct sfl_walk *walk)
{
    struct sfl_walk_batch *batch = walk->batch;
    if (walk->part == SFL_WALK_TELLING) {
        tell_one(walk);
        return;
    }
    for (unsigned i = 0; i < CLOCK_EVERY && batch->offered < batch->count; i++)
        offer(walk, &batch->rows[batch->offered++]);
    if (batch->offered < batch->count)
        return;
    if (batch->has_more)
        fetch(walk);
    else
        begin_part(walk, (enum sfl_walk_part)(walk->part + 1));
}

static void on_turn(uv_timer_t *timer);

static void begin(struct sfl_walk *walk)
{
    struct sfl_link *link;
    if (walk->part != SFL_WALK_OVER || sfl_list_is_empty(&walk->waiting))
        return;
    uint64_t now_ms = sfl_clock_now_ms();
    if (now_ms < walk->rest_until_ms) {
        uv_timer_start(&walk->timer, on_turn, walk->rest_until_ms - now_ms, 0);
        return;
    }
    while ((link = sfl_list_pop(&walk->waiting)) != NULL)
        sfl_list_append(&walk->served, link);
    walk->took_ns = 0;
    begin_part(walk, SFL_WALK_FLIGHTS);
    uv_timer_start(&walk->timer, on_turn, 0, 0);
}

static void end(struct sfl_walk *walk)
{
    walk->rest_until_ms = sfl_clock_now_ms() + REST_FACTOR * walk->took_ns / 1000000;
    begin(walk);
}

static void on_turn(uv_timer_t *timer)
{
    struct sfl_walk *walk = SFL_CONTAINER_OF(timer, struct sfl_walk, timer);
    if (walk->part == SFL_WALK_OVER) { // it has rested
        begin(walk);
        return;
    }
    uint64_t begun_ns = sfl_clock_now_ns();
    uint64_t now_ns = begun_ns;
    while (walk->part != SFL_WALK_OVER && now_ns - begun_ns < TURN_NS) {
        step(walk);
        now_ns = sfl_clock_now_ns();
    }
    walk->took_ns += now_ns - begun_ns;
    if (walk->part == SFL_WALK_OVER)
        end(walk);
    else
        uv_timer_start(timer, on_turn, TURN_GAP_MS, 0);
}

// --- the outside ---

bool sfl_walk_init(struct sfl_walk *walk, uv_loop_t *loop, const struct sfl_admin_sources *sources)
{
    *walk = (struct sfl_walk){.sources = sources, .part = SFL_WALK_OVER};
    sfl_list_init(&walk->waiting);
    sfl_list_init(&walk->served);
    walk->batch = calloc(1, sizeof(*walk->batch));
    return walk->batch != NULL && uv_timer_init(loop, &walk->timer) == 0;
}

void sfl_walk_deinit(struct sfl_walk *walk)
{
    if (walk->batch != NULL) {
        empty(walk->batch);
        free(walk->batch->rows);
    }
    free(walk->batch);
    walk->batch = NULL;
    sfl_groups_deinit(&walk->groups);
}

void sfl_walk_add(struct sfl_walk *walk, struct sfl_look *look)
{
    sfl_list_append(&walk->waiting, &look->link);
    begin(walk);
}

void sfl_walk_cancel(struct sfl_look *look)
{
    sfl_link_remove(&look->link);
}
