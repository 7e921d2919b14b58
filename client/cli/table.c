// SPDX-License-Identifier: Apache-2.0
#include "cli/table.h"

#include "cli/memory.h"
#include "cli/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void sfl_cli_table_init(struct sfl_cli_table *table, const char *const *headings, size_t columns)
{
    *table = (struct sfl_cli_table){.headings = headings, .columns = columns};
}

void sfl_cli_table_deinit(struct sfl_cli_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
}

static void add(struct sfl_cli_table *table, char *cell)
{
    if (table->count == table->room) {
        table->room = table->room == 0 ? 16 * table->columns : 2 * table->room;
        table->cells = sfl_cli_reallocate(table->cells, table->room * sizeof(*table->cells));
    }
    table->cells[table->count++] = cell;
}

void sfl_cli_table_add_bytes(struct sfl_cli_table *table, const void *bytes, size_t bytes_count)
{
    add(table, bytes_count == 0 ? sfl_cli_copy_text("-") : sfl_cli_readable(bytes, bytes_count));
}

void sfl_cli_table_add_text(struct sfl_cli_table *table, const char *text)
{
    sfl_cli_table_add_bytes(table, text, strlen(text));
}

void sfl_cli_table_add_number(struct sfl_cli_table *table, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, number);
    sfl_cli_table_add_text(table, text);
}

void sfl_cli_format_duration(uint64_t ms, char text_out[SFL_CLI_DURATION_BYTES])
{
    uint64_t s = ms / 1000;
    size_t room = SFL_CLI_DURATION_BYTES;
    if (s < 60)
        snprintf(text_out, room, "%" PRIu64 ".%" PRIu64 "s", s, ms % 1000 / 100);
    else if (s < 3600)
        snprintf(text_out, room, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 48 * 3600)
        snprintf(text_out, room, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(text_out, room, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

void sfl_cli_table_add_duration(struct sfl_cli_table *table, uint64_t ms)
{
    char text[SFL_CLI_DURATION_BYTES];
    sfl_cli_format_duration(ms, text);
    sfl_cli_table_add_text(table, text);
}

// Characters, not bytes.
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
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

static void write_line(FILE *out, const size_t *widths, const char *const *texts, size_t columns,
                       size_t columns_max)
{
    size_t column = 0;
    for (size_t i = 0; i < columns; i++)
        write_text(out, texts[i], i == columns - 1 ? 0 : widths[i] + 2, &column, columns_max);
    fputc('\n', out);
}

void sfl_cli_table_print(const struct sfl_cli_table *table, FILE *out, size_t columns_max)
{
    assert(table->columns != 0);
    size_t *widths = sfl_cli_allocate(table->columns * sizeof(*widths));
    for (size_t i = 0; i < table->columns; i++)
        widths[i] = width_of(table->headings[i]);
    for (size_t i = 0; i < table->count; i++) {
        size_t width = width_of(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    write_line(out, widths, table->headings, table->columns, columns_max);
    for (size_t i = 0; i < table->count; i += table->columns)
        write_line(out, widths, (const char *const *)&table->cells[i], table->columns, columns_max);
    free(widths);
}
