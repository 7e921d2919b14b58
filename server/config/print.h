// SPDX-License-Identifier: Apache-2.0
// What the table of settings looks like to people: help, settings in force, sample file, man page.
#ifndef SFL_CONFIG_PRINT_H
#define SFL_CONFIG_PRINT_H

#include "config/settings.h"
#include "config/value.h"

#include <stdio.h>

void sfl_print_help(FILE *out);

void sfl_print_version(FILE *out);

// Every setting with its default, commented out.
void sfl_print_sample_config(FILE *out);

// The manual page in mdoc(7).
void sfl_print_man_page(FILE *out);

// The settings in force as a config file, with where each comes from behind it. `values` runs
// beside the table; `settings` has the automatic values worked out; `config_path` may be NULL.
void sfl_print_settings(const struct sfl_setting_value *values, const struct sfl_settings *settings,
                        const char *config_path, FILE *out);

#endif
