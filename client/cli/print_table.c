// SPDX-License-Identifier: Apache-2.0
// Tables for people.
#include "cli/memory.h"
#include "cli/snapshot.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 32

enum { GROUP, KEY, STATE, LEADER, CALLERS, RUNNING, EXPIRES, ATTEMPT, BYTES, TOKEN, COLUMNS };

// What people look for first comes first: a narrow terminal shows that much.
static const char *const headings[COLUMNS] = {"GROUP",   "KEY",     "STATE",   "LEADER", "CALLERS",
                                              "RUNNING", "EXPIRES", "ATTEMPT", "BYTES",  "TOKEN"};

const char *sfl_cli_state_name(enum singleflight_flight_state state)
{
    switch (state) {
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

static void format_time(uint64_t ms, char text_out[CELL_MAX])
{
    uint64_t s = ms / 1000;
    if (s < 60)
        snprintf(text_out, CELL_MAX, "%" PRIu64 ".%" PRIu64 "s", s, ms % 1000 / 100);
    else if (s < 3600)
        snprintf(text_out, CELL_MAX, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 48 * 3600)
        snprintf(text_out, CELL_MAX, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(text_out, CELL_MAX, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

static void format_number(uint64_t number, char text_out[CELL_MAX])
{
    snprintf(text_out, CELL_MAX, "%" PRIu64, number);
}

struct row {
    char *key;
    char *leader;
    char *group;
    char cells[COLUMNS][CELL_MAX];
    const char *texts[COLUMNS];
};

static void fill_row(struct row *row, const struct singleflight_flight *flight)
{
    for (size_t i = 0; i < COLUMNS; i++)
        row->texts[i] = row->cells[i];
    row->key = sfl_cli_readable(flight->key, flight->key_bytes);
    row->group = sfl_cli_readable(flight->group, strlen(flight->group));
    row->leader = sfl_cli_readable(flight->leader, strlen(flight->leader));
    row->texts[GROUP] = row->group;
    row->texts[KEY] = row->key;
    row->texts[STATE] = flight->forgotten ? "forgotten" : sfl_cli_state_name(flight->state);
    row->texts[LEADER] = row->leader[0] == '\0' ? "-" : row->leader;
    format_number(flight->attempt, row->cells[ATTEMPT]);
    format_number(flight->callers, row->cells[CALLERS]);
    format_number(flight->value_bytes, row->cells[BYTES]);
    format_number(flight->token, row->cells[TOKEN]);
    if (flight->state == SINGLEFLIGHT_FLIGHT_RETAINED)
        row->texts[RUNNING] = "-";
    else
        format_time(flight->running_ms, row->cells[RUNNING]);
    if (flight->expires_ms == 0)
        row->texts[EXPIRES] = "-";
    else
        format_time(flight->expires_ms, row->cells[EXPIRES]);
}

// Characters, not bytes.
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void measure(size_t widths[COLUMNS], const char *const texts[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        size_t width = width_of(texts[i]);
        if (width > widths[i])
            widths[i] = width;
    }
}

// Writes one cell, no further than `columns_max`.
static void write_text(FILE *out, const char *text, size_t width, size_t *column,
                       size_t columns_max)
{
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text & 0xc0) != 0x80) {
            if (*column == columns_max)
                return;
            (*column)++;
            width -= width != 0;
        }
        fputc(*text, out);
    }
    for (; width != 0 && *column < columns_max; width--, (*column)++)
        fputc(' ', out);
}

static void write_line(FILE *out, const size_t widths[COLUMNS], const char *const texts[COLUMNS],
                       size_t columns_max)
{
    size_t column = 0;
    for (size_t i = 0; i < COLUMNS; i++)
        write_text(out, texts[i], i == COLUMNS - 1 ? 0 : widths[i] + 2, &column, columns_max);
    fputc('\n', out);
}

void sfl_cli_print_flights(FILE *out, const struct sfl_cli_snapshot *snapshot, size_t rows_max,
                           size_t columns_max)
{
    size_t count = snapshot->flight_count < rows_max ? snapshot->flight_count : rows_max;
    struct row *rows = sfl_cli_allocate((count + 1) * sizeof(*rows));
    size_t widths[COLUMNS] = {0};
    measure(widths, headings);
    for (size_t i = 0; i < count; i++) {
        fill_row(&rows[i], &snapshot->flights[i]);
        measure(widths, rows[i].texts);
    }
    write_line(out, widths, headings, columns_max);
    for (size_t i = 0; i < count; i++) {
        write_line(out, widths, rows[i].texts, columns_max);
        free(rows[i].key);
        free(rows[i].leader);
        free(rows[i].group);
    }
    free(rows);
}

void sfl_cli_print_stats(FILE *out, const struct sfl_cli_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->stats_count; i++) {
        const struct singleflight_stats *stats = &snapshot->stats[i];
        char uptime[CELL_MAX];
        format_time(stats->uptime_ms, uptime);
        fprintf(out, "%sserver              %s\nuptime              %s\n", i == 0 ? "" : "\n",
                stats->address, uptime);
        const struct {
            const char *name;
            uint64_t value;
        } lines[] = {
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
        };
        for (size_t j = 0; j < sizeof(lines) / sizeof(lines[0]); j++)
            fprintf(out, "%-19s %" PRIu64 "\n", lines[j].name, lines[j].value);
    }
}
