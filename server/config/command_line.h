// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_CONFIG_COMMAND_LINE_H
#define SFL_CONFIG_COMMAND_LINE_H

#include "base/status.h"
#include "config/value.h"

#include <stddef.h>

enum sfl_command {
    SFL_COMMAND_RUN,
    SFL_COMMAND_CHECK_CONFIG,
    SFL_COMMAND_HEALTH,
    SFL_COMMAND_HELP,
    SFL_COMMAND_VERSION,
    SFL_COMMAND_SAMPLE_CONFIG,
    SFL_COMMAND_MAN_PAGE,
};

struct sfl_given_flag {
    size_t setting; // its place in the table
    const char *text;
};

// Everything in it is borrowed from argv, but for the array.
struct sfl_command_line {
    enum sfl_command command;
    const char *config_path; // NULL when --config was not given
    struct sfl_given_flag *flags;
    size_t flag_count;
};

// A flag that is not a setting.
struct sfl_command_flag {
    const char *name;
    char letter;          // the short form, or 0
    const char *argument; // NULL: it takes none
    const char *help;
    enum sfl_command command;
};

extern const struct sfl_command_flag sfl_command_flags[];
extern const size_t sfl_command_flag_count;

// Takes the command line apart; values are not looked at yet. The first flag that only prints
// something (--help and its like) ends the reading. SFL_INVALID_ARGUMENT: problem_out says in a
// whole sentence what is wrong. Not thread-safe (getopt_long).
SFL_MUST_USE enum sfl_status sfl_command_line_parse(int argc, char *const argv[],
                                                    struct sfl_command_line *line_out,
                                                    char problem_out[SFL_PROBLEM_MAX]);

void sfl_command_line_deinit(struct sfl_command_line *line);

#endif
