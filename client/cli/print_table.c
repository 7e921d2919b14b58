// SPDX-License-Identifier: Apache-2.0
// Tables for people.
#include "cli/snapshot.h"
#include "cli/table.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

static const char *const flight_headings[] = {
    // What people look for first comes first: a narrow terminal shows that much.
    "GROUP",   "KEY",     "STATE",   "LEADER", "CALLERS", "RUNNING",
    "EXPIRES", "OUTCOME", "ATTEMPT", "BYTES",  "TOKEN",
};
#define FLIGHT_COLUMNS (sizeof(flight_headings) / sizeof(flight_headings[0]))

static const char *const run_headings[] = {
    "ENDED",    "GROUP",   "KEY",  "OUTCOME", "LEADER", "TOOK",
    "ATTEMPTS", "CALLERS", "HITS", "BYTES",   "TOKEN",  "MESSAGE",
};
#define RUN_COLUMNS (sizeof(run_headings) / sizeof(run_headings[0]))

const char *sfl_cli_state_name(enum singleflight_flight_state state)
{
    switch (state) {
    case SINGLEFLIGHT_FLIGHT_NOT_BEGUN:
        return "next";
    case SINGLEFLIGHT_FLIGHT_FINDING_HOME:
        return "finding-home";
    case SINGLEFLIGHT_FLIGHT_LED:
        return "led";
    case SINGLEFLIGHT_FLIGHT_ORPHANED:
        return "orphaned";
    case SINGLEFLIGHT_FLIGHT_RETAINED:
        return "retained";
    }
    return "unknown";
}

// "ok", "error 7".
static void add_outcome(struct sfl_cli_table *table, enum singleflight_outcome outcome,
                        int32_t code, const char *none)
{
    char text[48];
    const char *name =
        outcome == SINGLEFLIGHT_OUTCOME_NONE ? none : singleflight_outcome_name(outcome);
    if (code == 0)
        snprintf(text, sizeof(text), "%s", name);
    else
        snprintf(text, sizeof(text), "%s %" PRId32, name, code);
    sfl_cli_table_add_text(table, text);
}

static const char *state_of(const struct singleflight_flight *flight)
{
    if (flight->forgotten)
        return "forgotten";
    if (flight->next)
        return "next";
    return flight->overdue ? "overdue" : sfl_cli_state_name(flight->state);
}

static void add_flight(struct sfl_cli_table *table, const struct singleflight_flight *flight)
{
    bool is_retained = flight->state == SINGLEFLIGHT_FLIGHT_RETAINED;
    sfl_cli_table_add_text(table, flight->group);
    sfl_cli_table_add_bytes(table, flight->key, flight->key_bytes);
    sfl_cli_table_add_text(table, state_of(flight));
    sfl_cli_table_add_text(table, flight->leader);
    sfl_cli_table_add_number(table, flight->callers);
    if (is_retained)
        sfl_cli_table_add_text(table, "");
    else
        sfl_cli_table_add_duration(table, flight->running_ms);
    if (flight->expires_ms == 0)
        sfl_cli_table_add_text(table, "");
    else
        sfl_cli_table_add_duration(table, flight->expires_ms);
    add_outcome(table, flight->outcome, flight->code, "");
    sfl_cli_table_add_number(table, flight->attempt);
    sfl_cli_table_add_number(table, flight->value_bytes);
    sfl_cli_table_add_number(table, flight->token);
}

void sfl_cli_print_flights(FILE *out, const struct sfl_cli_snapshot *snapshot, size_t rows_max,
                           size_t columns_max)
{
    struct sfl_cli_table table;
    sfl_cli_table_init(&table, flight_headings, FLIGHT_COLUMNS);
    for (size_t i = 0; i < snapshot->flight_count && i < rows_max; i++)
        add_flight(&table, &snapshot->flights[i]);
    sfl_cli_table_print(&table, out, columns_max);
    sfl_cli_table_deinit(&table);
}

// In the zone of whoever looks.
static void add_time(struct sfl_cli_table *table, uint64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm broken;
    char text[32] = "";
    if (localtime_r(&seconds, &broken) != NULL)
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &broken);
    sfl_cli_table_add_text(table, text);
}

static void add_run(struct sfl_cli_table *table, const struct singleflight_run *run)
{
    add_time(table, run->ended_unix_ms);
    sfl_cli_table_add_text(table, run->group);
    sfl_cli_table_add_bytes(table, run->key, run->key_bytes);
    add_outcome(table, run->outcome, run->code, "lost");
    sfl_cli_table_add_text(table, run->leader);
    uint64_t begun_ms =
        run->begun_unix_ms < run->ended_unix_ms ? run->begun_unix_ms : run->ended_unix_ms;
    sfl_cli_table_add_duration(table, run->ended_unix_ms - begun_ms);
    sfl_cli_table_add_number(table, run->attempts);
    sfl_cli_table_add_number(table, run->callers);
    sfl_cli_table_add_number(table, run->retained_hits);
    sfl_cli_table_add_number(table, run->value_bytes);
    sfl_cli_table_add_number(table, run->token);
    sfl_cli_table_add_text(table, run->message);
}

void sfl_cli_print_runs(FILE *out, const struct sfl_cli_snapshot *snapshot, size_t rows_max,
                        size_t columns_max)
{
    struct sfl_cli_table table;
    sfl_cli_table_init(&table, run_headings, RUN_COLUMNS);
    for (size_t i = 0; i < snapshot->run_count && i < rows_max; i++)
        add_run(&table, &snapshot->runs[i]);
    sfl_cli_table_print(&table, out, columns_max);
    sfl_cli_table_deinit(&table);
}

struct stats_line {
    const char *name;
    uint64_t value;
};
#define STATS_LINES 21

static void list_stats(const struct singleflight_stats *stats, struct stats_line out[STATS_LINES])
{
    const struct stats_line lines[STATS_LINES] = {
        {"calls", stats->calls},
        {"executions", stats->executions},
        {"executions saved", stats->executions_saved},
        {"retained hits", stats->retained_hits},
        {"leaders lost", stats->leaders_lost},
        {"fenced", stats->fenced},
        {"forgets", stats->forgets},
        {"refused", stats->refused},
        {"flights now", stats->flights_now},
        {"callers now", stats->callers_now},
        {"retained now", stats->retained_now},
        {"bytes now", stats->bytes_now},
        {"connections now", stats->connections_now},
        {"connections refused", stats->connections_refused},
        {"silent streams now", stats->streams_silent_now},
        {"streams ended", stats->streams_ended},
        {"retain refused", stats->retain_refused},
        {"outcomes lost", stats->outcomes_lost},
        {"store failing", stats->store_failing},
        {"store bytes waiting", stats->store_bytes_waiting},
        {"leads unkept", stats->leads_unkept},
    };
    memcpy(out, lines, sizeof(lines));
}

static void print_rates(FILE *out, const struct sfl_cli_snapshot *snapshot,
                        const struct singleflight_stats *stats)
{
    struct sfl_cli_rates rates = sfl_cli_rates_of(snapshot, stats);
    double saved = sfl_cli_saved_part(stats);
    if (saved >= 0)
        fprintf(out, "%-19s %.1f%%\n", "saved of all calls", saved * 100);
    if (rates.is_known)
        fprintf(out, "%-19s %.1f\n%-19s %.1f\n%-19s %.1f\n", "calls/s", rates.calls, "executions/s",
                rates.executions, "saved/s", rates.saved);
}

void sfl_cli_print_stats(FILE *out, const struct sfl_cli_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->stats_count; i++) {
        const struct singleflight_stats *stats = &snapshot->stats[i];
        char uptime[SFL_CLI_DURATION_BYTES];
        sfl_cli_format_duration(stats->uptime_ms, uptime);
        fprintf(out, "%sserver              %s\nuptime              %s\n", i == 0 ? "" : "\n",
                stats->address, uptime);
        struct stats_line lines[STATS_LINES];
        list_stats(stats, lines);
        for (size_t j = 0; j < STATS_LINES; j++)
            fprintf(out, "%-19s %" PRIu64 "\n", lines[j].name, lines[j].value);
        print_rates(out, snapshot, stats);
    }
}

// What the counters come to. Returns how many lines that took.
static size_t print_rates_densely(FILE *out, const struct sfl_cli_snapshot *snapshot,
                                  const struct singleflight_stats *stats, size_t columns_max)
{
    struct sfl_cli_rates rates = sfl_cli_rates_of(snapshot, stats);
    double saved = sfl_cli_saved_part(stats);
    char text[200];
    if (saved < 0)
        return 0;
    int length = snprintf(text, sizeof(text), "saved of all calls %.1f%%", saved * 100);
    if (rates.is_known)
        snprintf(text + length, sizeof(text) - (size_t)length,
                 " | calls %.1f/s | executions %.1f/s | saved %.1f/s", rates.calls,
                 rates.executions, rates.saved);
    fprintf(out, "%.*s\n", (int)(columns_max < sizeof(text) ? columns_max : sizeof(text)), text);
    return 1;
}

// One server's counters, side by side. Returns how many lines it took.
static size_t print_stats_densely(FILE *out, const struct sfl_cli_snapshot *snapshot,
                                  const struct singleflight_stats *stats, size_t columns_max)
{
    char uptime[SFL_CLI_DURATION_BYTES];
    sfl_cli_format_duration(stats->uptime_ms, uptime);
    fprintf(out, "%s, up %s\n", stats->address, uptime);
    size_t rows = 1 + print_rates_densely(out, snapshot, stats, columns_max);
    struct stats_line lines[STATS_LINES];
    list_stats(stats, lines);
    size_t column = 0;
    for (size_t i = 0; i < STATS_LINES; i++) {
        char text[64];
        size_t length =
            (size_t)snprintf(text, sizeof(text), "%s %" PRIu64, lines[i].name, lines[i].value);
        bool breaks = column == 0 || column + 3 + length > columns_max;
        rows += breaks;
        fprintf(out, "%s%s", column == 0 ? "" : breaks ? "\n" : " | ", text);
        column = breaks ? length : column + 3 + length;
    }
    fputc('\n', out);
    return rows;
}

size_t sfl_cli_print_stats_densely(FILE *out, const struct sfl_cli_snapshot *snapshot,
                                   size_t columns_max)
{
    size_t rows = 0;
    for (size_t i = 0; i < snapshot->stats_count; i++)
        rows += print_stats_densely(out, snapshot, &snapshot->stats[i], columns_max);
    return rows;
}
