// SPDX-License-Identifier: Apache-2.0
// The table of options and of subcommands: one row is all there is to know about an option.
#ifndef SFL_CLI_OPTION_TABLE_H
#define SFL_CLI_OPTION_TABLE_H

#include "cli/options.h"

// The type says how a value is written, and which field of struct sfl_cli_options holds it.
enum sfl_cli_option_type {
    SFL_CLI_OPTION_FLAG,     // bool
    SFL_CLI_OPTION_TEXT,     // const char *
    SFL_CLI_OPTION_ADDRESS,  // addresses and address_count: may be given several times
    SFL_CLI_OPTION_DURATION, // uint64_t, milliseconds
    SFL_CLI_OPTION_SIZE,     // uint64_t, bytes
    SFL_CLI_OPTION_NUMBER,   // uint64_t
    SFL_CLI_OPTION_CHOICE,   // uint64_t: which of the words of `argument`, from 0
    SFL_CLI_OPTION_HELP,     // no field
};

struct sfl_cli_option {
    const char *name;     // as after "--"
    char letter;          // as after "-", or 0
    unsigned commands;    // bits of enum sfl_cli_command_bit
    const char *argument; // what the help calls the value; NULL for a flag
    const char *fallback; // the default, as one would write it; "" for none
    const char *help;     // whole sentences
    const char *variable; // counts when the option is not given, and the settings file after it
    size_t offset;        // of the field in struct sfl_cli_options
    uint64_t min;         // of durations, sizes and numbers, both included; max 0: no bound here
    uint64_t max;
    enum sfl_cli_option_type type;
};

struct sfl_cli_subcommand {
    const char *name;
    enum sfl_cli_command_bit bit;
    const char *arguments; // after the options
    const char *summary;   // one line
    const char *help;      // whole sentences
};

extern const struct sfl_cli_option sfl_cli_option_table[];
extern const size_t sfl_cli_option_count;
extern const struct sfl_cli_subcommand sfl_cli_subcommand_table[];
extern const size_t sfl_cli_subcommand_count;

static inline bool sfl_cli_option_belongs(const struct sfl_cli_option *option,
                                          const struct sfl_cli_subcommand *subcommand)
{
    return (option->commands & subcommand->bit) != 0;
}

// Puts a value into its field; `text` is NULL for a flag, and borrowed for as long as the options
// are used. Returns the problem, or NULL.
const char *sfl_cli_store(struct sfl_cli_options *options, const struct sfl_cli_option *option,
                          const char *text);

// The --help of the tool, and of one subcommand.
void sfl_cli_write_help(FILE *out);
void sfl_cli_write_subcommand_help(FILE *out, const struct sfl_cli_subcommand *subcommand);

// The page of the settings file, in the same language as that of the tool.
void sfl_cli_write_config_man_page(FILE *out);

// Text, as troff is to read it: in lines that are not too long.
void sfl_cli_write_troff(FILE *out, const char *text);

// What the two shells read to complete command lines.
void sfl_cli_write_bash_completion(FILE *out);
void sfl_cli_write_zsh_completion(FILE *out);

#endif
