// SPDX-License-Identifier: Apache-2.0
// The value of one setting on its way from its sources into struct sfl_settings.
#ifndef SFL_CONFIG_VALUE_H
#define SFL_CONFIG_VALUE_H

#include "base/status.h"
#include "config/settings.h"
#include "config/table.h"

#include <stdint.h>
#include <stdio.h>

// A greater one comes before a lesser one.
enum sfl_setting_source {
    SFL_SOURCE_DEFAULT,
    SFL_SOURCE_FILE,
    SFL_SOURCE_ENVIRONMENT,
    SFL_SOURCE_FLAG,
};

// All zero is a value that nobody has given yet.
struct sfl_setting_value {
    uint64_t number;              // durations, sizes, counts, choices
    struct sfl_string_list texts; // text (one or none) and lists
    enum sfl_setting_source source;
    unsigned line;  // of the file, from 1
    unsigned given; // how often this source gave it
};

#define SFL_PROBLEM_MAX 512

// Gives `text` to the value. A source that comes before the value's own replaces it; the same
// source adds to a list and replaces anything else. SFL_INVALID_ARGUMENT: `text` does not fit the
// setting; problem_out holds the reason, to follow the setting's name, and the value is unspecified
// but released as ever.
SFL_MUST_USE enum sfl_status sfl_setting_value_give(struct sfl_setting_value *value,
                                                    const struct sfl_setting *setting,
                                                    enum sfl_setting_source source,
                                                    const char *text,
                                                    char problem_out[SFL_PROBLEM_MAX]);

// Puts the value into its field. Strings are lent until sfl_setting_value_hand_over().
void sfl_setting_value_lend(const struct sfl_setting_value *value,
                            const struct sfl_setting *setting, struct sfl_settings *settings);

// Leaves the lent strings to the settings and clears the value.
void sfl_setting_value_hand_over(struct sfl_setting_value *value,
                                 const struct sfl_setting *setting);

// Frees what the setting's field owns.
void sfl_setting_free(const struct sfl_setting *setting, struct sfl_settings *settings);

// Writes the value as it would stand in the file.
void sfl_setting_value_print(const struct sfl_setting_value *value,
                             const struct sfl_setting *setting, FILE *out);

void sfl_setting_value_deinit(struct sfl_setting_value *value);

#endif
