// SPDX-License-Identifier: Apache-2.0
// What the servers tell at one moment, copied: the flights and the counters.
#ifndef SFL_CLI_SNAPSHOT_H
#define SFL_CLI_SNAPSHOT_H

#include "cli/options.h"

#include <stdbool.h>
#include <stdio.h>

struct sfl_cli_snapshot {
    struct singleflight_flight *flights; // their texts and keys are owned
    size_t flight_count;
    size_t flight_room;
    uint64_t rows_max;                // from each server
    uint64_t rows_of_server;          // of the one that tells now
    const char *server;               // that one; borrowed from the client
    bool is_cut;                      // some server had more rows
    struct singleflight_stats *stats; // their addresses are owned
    size_t stats_count;
    size_t stats_room;
    struct singleflight_run *runs; // their texts and keys are owned
    size_t run_count;
    size_t run_room;
    const char *key; // only runs of this one; NULL: of all. Borrowed
    // What was told before, which the counters have grown since; NULL: nothing. Borrowed.
    const struct sfl_cli_snapshot *before;
};

// How fast a server's counters grow, in a second.
struct sfl_cli_rates {
    bool is_known; // it was asked before, and has not started anew since
    double calls;
    double executions;
    double saved;
};
struct sfl_cli_rates sfl_cli_rates_of(const struct sfl_cli_snapshot *snapshot,
                                      const struct singleflight_stats *stats);

// The part of all calls that got an outcome and ran nothing for it: from 0 to 1; negative without
// a call.
double sfl_cli_saved_part(const struct singleflight_stats *stats);

// Appends what the servers tell to a snapshot that starts as {0}. When some servers cannot be
// reached, the answers of the others are there all the same, and the status is that of the first
// failure. Blocks. To be released by sfl_cli_snapshot_deinit().
enum singleflight_status sfl_cli_snapshot_flights(struct sfl_cli_snapshot *snapshot,
                                                  struct singleflight_client *client,
                                                  const struct sfl_cli_options *options);
enum singleflight_status sfl_cli_snapshot_stats(struct sfl_cli_snapshot *snapshot,
                                                struct singleflight_client *client,
                                                const struct sfl_cli_options *options);
// Those that ended within the last `since_ms` (0: all), newest first; of options->key alone if
// there is one.
enum singleflight_status sfl_cli_snapshot_runs(struct sfl_cli_snapshot *snapshot,
                                               struct singleflight_client *client,
                                               const struct sfl_cli_options *options);
void sfl_cli_snapshot_deinit(struct sfl_cli_snapshot *snapshot);

// Those with the most callers first; among equals, those that run longest.
void sfl_cli_snapshot_sort(struct sfl_cli_snapshot *snapshot);

// As a table for people; at most `rows_max` flights (SIZE_MAX: all), no line longer than
// `columns_max`.
void sfl_cli_print_flights(FILE *out, const struct sfl_cli_snapshot *snapshot, size_t rows_max,
                           size_t columns_max);
void sfl_cli_print_stats(FILE *out, const struct sfl_cli_snapshot *snapshot);
void sfl_cli_print_runs(FILE *out, const struct sfl_cli_snapshot *snapshot, size_t rows_max,
                        size_t columns_max);

// The counters side by side, for a screen. Returns how many lines that took.
size_t sfl_cli_print_stats_densely(FILE *out, const struct sfl_cli_snapshot *snapshot,
                                   size_t columns_max);

// The same as JSON, one object on each line.
void sfl_cli_print_flights_json(FILE *out, const struct sfl_cli_snapshot *snapshot);
void sfl_cli_print_stats_json(FILE *out, const struct sfl_cli_snapshot *snapshot);
void sfl_cli_print_runs_json(FILE *out, const struct sfl_cli_snapshot *snapshot);

void sfl_cli_print_health_json(FILE *out, const struct singleflight_health *health);

// "next", "finding-home", "led", "orphaned", "retained".
const char *sfl_cli_state_name(enum singleflight_flight_state state);

#endif
