// SPDX-License-Identifier: Apache-2.0
#include "cli/snapshot.h"

#include "cli/memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

// A table is for reading; but who shows the busiest must have looked at all.
#define ROWS_OF_LIST 1000
#define ROWS_OF_TOP 100000

// Room for one more item of an array.
static void *grow(void *items, size_t count, size_t *room, size_t item_bytes)
{
    if (count < *room)
        return items;
    *room = *room == 0 ? 16 : *room * 2;
    return sfl_cli_reallocate(items, *room * item_bytes);
}

static void *copy_bytes(const void *bytes, size_t count)
{
    char *copy = sfl_cli_allocate(count + 1);
    if (count != 0)
        memcpy(copy, bytes, count);
    return copy;
}

// Counts one more row of that server. False when there are as many as are wanted.
static bool takes_row(struct sfl_cli_snapshot *snapshot, const char *address)
{
    if (snapshot->server != address) {
        snapshot->server = address;
        snapshot->rows_of_server = 0;
    }
    if (snapshot->rows_of_server == snapshot->rows_max) {
        snapshot->is_cut = true;
        return false;
    }
    snapshot->rows_of_server++;
    return true;
}

static void on_flight(void *context, const struct singleflight_flight *flight)
{
    struct sfl_cli_snapshot *snapshot = context;
    if (!takes_row(snapshot, flight->address))
        return;
    snapshot->flights = grow(snapshot->flights, snapshot->flight_count, &snapshot->flight_room,
                             sizeof(*snapshot->flights));
    struct singleflight_flight *copy = &snapshot->flights[snapshot->flight_count++];
    *copy = *flight;
    copy->address = sfl_cli_copy_text(flight->address);
    copy->group = sfl_cli_copy_text(flight->group);
    copy->leader = sfl_cli_copy_text(flight->leader);
    copy->home = sfl_cli_copy_text(flight->home);
    copy->key = copy_bytes(flight->key, flight->key_bytes);
}

static void on_stats(void *context, const struct singleflight_stats *stats)
{
    struct sfl_cli_snapshot *snapshot = context;
    snapshot->stats = grow(snapshot->stats, snapshot->stats_count, &snapshot->stats_room,
                           sizeof(*snapshot->stats));
    struct singleflight_stats *copy = &snapshot->stats[snapshot->stats_count++];
    *copy = *stats;
    copy->address = sfl_cli_copy_text(stats->address);
}

enum singleflight_status sfl_cli_snapshot_flights(struct sfl_cli_snapshot *snapshot,
                                                  struct singleflight_client *client,
                                                  const struct sfl_cli_options *options)
{
    size_t prefix_bytes = options->prefix == NULL ? 0 : strlen(options->prefix);
    snapshot->rows_max = options->limit;
    if (snapshot->rows_max == 0)
        snapshot->rows_max = options->command == SFL_CLI_TOP ? ROWS_OF_TOP : ROWS_OF_LIST;
    // One more than is shown, to know whether there are more.
    return singleflight_list_flights(client, options->group, options->prefix, prefix_bytes,
                                     (uint32_t)snapshot->rows_max + 1, sfl_cli_patience_ms(options),
                                     on_flight, snapshot);
}

enum singleflight_status sfl_cli_snapshot_stats(struct sfl_cli_snapshot *snapshot,
                                                struct singleflight_client *client,
                                                const struct sfl_cli_options *options)
{
    return singleflight_get_stats(client, options->group, sfl_cli_patience_ms(options), on_stats,
                                  snapshot);
}

static void on_run(void *context, const struct singleflight_run *run)
{
    struct sfl_cli_snapshot *snapshot = context;
    bool is_wanted =
        snapshot->key == NULL || (run->key_bytes == strlen(snapshot->key) &&
                                  memcmp(run->key, snapshot->key, run->key_bytes) == 0);
    if (!is_wanted || !takes_row(snapshot, run->address))
        return;
    snapshot->runs =
        grow(snapshot->runs, snapshot->run_count, &snapshot->run_room, sizeof(*snapshot->runs));
    struct singleflight_run *copy = &snapshot->runs[snapshot->run_count++];
    *copy = *run;
    copy->address = sfl_cli_copy_text(run->address);
    copy->group = sfl_cli_copy_text(run->group);
    copy->leader = sfl_cli_copy_text(run->leader);
    copy->message = sfl_cli_copy_text(run->message);
    copy->key = copy_bytes(run->key, run->key_bytes);
}

static int compare_runs(const void *left, const void *right)
{
    const struct singleflight_run *a = left;
    const struct singleflight_run *b = right;
    return (a->ended_unix_ms < b->ended_unix_ms) - (a->ended_unix_ms > b->ended_unix_ms);
}

static uint64_t unix_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

enum singleflight_status sfl_cli_snapshot_runs(struct sfl_cli_snapshot *snapshot,
                                               struct singleflight_client *client,
                                               const struct sfl_cli_options *options)
{
    const char *prefix = options->key != NULL ? options->key : options->prefix;
    snapshot->key = options->key;
    uint64_t now_ms = unix_now_ms();
    bool is_bounded = options->since_ms != 0 && options->since_ms < now_ms;
    uint64_t since_unix_ms = is_bounded ? now_ms - options->since_ms : 0;
    snapshot->rows_max = options->limit == 0 ? ROWS_OF_LIST : options->limit;
    // Other keys may begin as this one does, so all of them are looked at.
    uint64_t limit = options->key == NULL ? snapshot->rows_max : ROWS_OF_TOP;
    enum singleflight_status status = singleflight_list_runs(
        client, options->group, prefix, prefix == NULL ? 0 : strlen(prefix), since_unix_ms,
        (uint32_t)limit, sfl_cli_patience_ms(options), on_run, snapshot);
    if (snapshot->run_count > 1)
        qsort(snapshot->runs, snapshot->run_count, sizeof(*snapshot->runs), compare_runs);
    return status;
}

void sfl_cli_snapshot_deinit(struct sfl_cli_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->flight_count; i++) {
        struct singleflight_flight *flight = &snapshot->flights[i];
        free((char *)flight->address);
        free((char *)flight->group);
        free((char *)flight->leader);
        free((char *)flight->home);
        free((char *)flight->key);
    }
    for (size_t i = 0; i < snapshot->stats_count; i++)
        free((char *)snapshot->stats[i].address);
    for (size_t i = 0; i < snapshot->run_count; i++) {
        struct singleflight_run *run = &snapshot->runs[i];
        free((char *)run->address);
        free((char *)run->group);
        free((char *)run->leader);
        free((char *)run->message);
        free((char *)run->key);
    }
    free(snapshot->flights);
    free(snapshot->stats);
    free(snapshot->runs);
    *snapshot = (struct sfl_cli_snapshot){0};
}

static int compare(const void *left, const void *right)
{
    const struct singleflight_flight *a = left;
    const struct singleflight_flight *b = right;
    if (a->callers != b->callers)
        return a->callers > b->callers ? -1 : 1;
    if (a->running_ms != b->running_ms)
        return a->running_ms > b->running_ms ? -1 : 1;
    size_t common = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    int order = memcmp(a->key, b->key, common);
    return order != 0 ? order : (a->key_bytes > b->key_bytes) - (a->key_bytes < b->key_bytes);
}

void sfl_cli_snapshot_sort(struct sfl_cli_snapshot *snapshot)
{
    if (snapshot->flight_count > 1)
        qsort(snapshot->flights, snapshot->flight_count, sizeof(*snapshot->flights), compare);
}
