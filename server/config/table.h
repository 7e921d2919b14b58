// SPDX-License-Identifier: Apache-2.0
// The table of settings: one row is all there is to know about a setting. To add one, add a field
// to struct sfl_settings and a row to the table in table.c.
#ifndef SFL_CONFIG_TABLE_H
#define SFL_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Room for the table in arrays that run beside it.
#define SFL_SETTINGS_MAX 64

// The type says how a value is written and which field holds it.
enum sfl_setting_type {
    SFL_SETTING_TEXT,      // char *, NULL when empty
    SFL_SETTING_TEXT_LIST, // struct sfl_string_list; items parted by commas, or given repeatedly
    SFL_SETTING_DURATION,  // uint64_t, milliseconds
    SFL_SETTING_SIZE,      // uint64_t, bytes
    SFL_SETTING_COUNT,     // uint32_t
    SFL_SETTING_CHOICE,    // an enum; one of `choices`
    SFL_SETTING_SWITCH,    // bool; a flag without a value is a yes
};

struct sfl_setting_choice {
    const char *name; // NULL ends the list
    unsigned value;
};

struct sfl_setting {
    const char *name;     // lower case with dashes, as after "--" and in the file
    const char *group;    // the heading it stands under; rows of one group are neighbours
    const char *argument; // what the help calls the value, such as HOST:PORT
    const char *fallback; // the default, as one would write it; "" for none
    const char *help;     // whole sentences
    const char *zero;     // what 0 means when it lies outside the bounds ("automatic"), or NULL
    size_t offset;        // of the field in struct sfl_settings
    uint64_t min;         // of durations, sizes and counts, both included
    uint64_t max;
    const struct sfl_setting_choice *choices;
    // Looks at one text (of a list: at each). Returns the problem, or NULL when it is fine.
    const char *(*check)(const char *text);
    enum sfl_setting_type type;
};

extern const struct sfl_setting sfl_setting_table[];
extern const size_t sfl_setting_count;

// The place of the setting called so (`size` bytes) in the table, or sfl_setting_count.
size_t sfl_setting_find(const char *name, size_t size);

// The name of the setting that was meant by one that is none; NULL: nobody can tell.
const char *sfl_setting_nearest(const char *name, size_t size);

// The environment variable of a setting: SINGLEFLIGHTD_DRAIN_TIME for drain-time.
#define SFL_ENVIRONMENT_PREFIX "SINGLEFLIGHTD_"
#define SFL_ENVIRONMENT_NAME_MAX 64
void sfl_setting_environment_name(const struct sfl_setting *setting,
                                  char name_out[SFL_ENVIRONMENT_NAME_MAX]);

// What values the setting takes, such as "1 to 64, or 0 (automatic)". Empty when its type says all.
#define SFL_BOUNDS_TEXT_MAX 192
void sfl_setting_describe_bounds(const struct sfl_setting *setting,
                                 char text_out[SFL_BOUNDS_TEXT_MAX]);

#endif
