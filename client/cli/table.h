// SPDX-License-Identifier: Apache-2.0
// Rows of text in columns that line up, for people.
#ifndef SFL_CLI_TABLE_H
#define SFL_CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct sfl_cli_table {
    const char *const *headings; // borrowed
    size_t columns;
    char **cells; // row after row, owned
    size_t count;
    size_t room;
};

// An empty table; to be released by sfl_cli_table_deinit().
void sfl_cli_table_init(struct sfl_cli_table *table, const char *const *headings, size_t columns);
void sfl_cli_table_deinit(struct sfl_cli_table *table);

// Adds the next cell, from left to right and row after row. Each text is made readable (text.h); an
// empty one is shown as "-".
void sfl_cli_table_add_text(struct sfl_cli_table *table, const char *text);
void sfl_cli_table_add_bytes(struct sfl_cli_table *table, const void *bytes, size_t bytes_count);
void sfl_cli_table_add_number(struct sfl_cli_table *table, uint64_t number);

// "4.9s", "12m05s", "3h20m", "2d04h".
void sfl_cli_table_add_duration(struct sfl_cli_table *table, uint64_t ms);

// No line is longer than `columns_max`.
void sfl_cli_table_print(const struct sfl_cli_table *table, FILE *out, size_t columns_max);

// What sfl_cli_table_add_duration() shows.
#define SFL_CLI_DURATION_BYTES 32
void sfl_cli_format_duration(uint64_t ms, char text_out[SFL_CLI_DURATION_BYTES]);

#endif
