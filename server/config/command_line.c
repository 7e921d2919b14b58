// SPDX-License-Identifier: Apache-2.0
#include "config/command_line.h"

#include "base/nearest.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const struct sfl_command_flag sfl_command_flags[] = {
    {"config", 0, "FILE", "Read settings from this file. Also SINGLEFLIGHTD_CONFIG.",
     SFL_COMMAND_RUN},
    {"check-config", 0, NULL,
     "Print the settings in force and where each comes from, read the files that they name, and "
     "exit.",
     SFL_COMMAND_CHECK_CONFIG},
    {"health", 0, NULL,
     "Ask the daemon that runs with these settings, by its admin port, whether it takes calls. "
     "Exit with 0 when it does, and with 1 otherwise.",
     SFL_COMMAND_HEALTH},
    {"print-sample-config", 0, NULL, "Print a file with all settings and their defaults, and exit.",
     SFL_COMMAND_SAMPLE_CONFIG},
    {"print-man-page", 0, NULL, "Print the manual page, and exit.", SFL_COMMAND_MAN_PAGE},
    {"version", 'V', NULL, "Print the version and the git revision, and exit.",
     SFL_COMMAND_VERSION},
    {"help", 'h', NULL, "Print this help, and exit.", SFL_COMMAND_HELP},
};

const size_t sfl_command_flag_count = sizeof(sfl_command_flags) / sizeof(sfl_command_flags[0]);

#define FLAGS_MAX (SFL_SETTINGS_MAX + sizeof(sfl_command_flags) / sizeof(sfl_command_flags[0]))

// What getopt_long() returns for a flag: its place among all flags, settings first, above every
// character that it may return for other reasons.
#define FIRST_FLAG 256

static void fill_options(struct option options[FLAGS_MAX + 1])
{
    size_t count = 0;
    for (size_t i = 0; i < sfl_setting_count; i++, count++) {
        options[count] = (struct option){
            .name = sfl_setting_table[i].name,
            .has_arg = sfl_setting_table[i].type == SFL_SETTING_SWITCH ? optional_argument
                                                                       : required_argument,
            .val = FIRST_FLAG + (int)count,
        };
    }
    for (size_t i = 0; i < sfl_command_flag_count; i++, count++) {
        options[count] = (struct option){
            .name = sfl_command_flags[i].name,
            .has_arg = sfl_command_flags[i].argument == NULL ? no_argument : required_argument,
            .val = FIRST_FLAG + (int)count,
        };
    }
    options[count] = (struct option){.name = NULL};
}

// The place of a flag among all flags; sfl_setting_count + sfl_command_flag_count for none.
static size_t place_of(int value)
{
    if (value >= FIRST_FLAG)
        return (size_t)(value - FIRST_FLAG);
    size_t i = 0;
    while (i < sfl_command_flag_count && sfl_command_flags[i].letter != value)
        i++;
    return sfl_setting_count + i;
}

static const char *name_of(size_t place)
{
    return place < sfl_setting_count ? sfl_setting_table[place].name
                                     : sfl_command_flags[place - sfl_setting_count].name;
}

static const char *argument_of(size_t place)
{
    return place < sfl_setting_count ? sfl_setting_table[place].argument
                                     : sfl_command_flags[place - sfl_setting_count].argument;
}

// getopt_long() takes any unambiguous beginning of a name; a daemon's start script must not break
// when a setting with the same beginning comes along.
static bool is_abbreviated(const char *token, size_t place)
{
    if (strncmp(token, "--", 2) != 0)
        return false;
    size_t size = strcspn(token + 2, "=");
    return strlen(name_of(place)) != size;
}

// The sentence for what getopt_long() refused: '?' or ':'.
static void describe_refusal(int result, const char *token, char problem_out[SFL_PROBLEM_MAX])
{
    int size = (int)strcspn(token, "=");
    if (result == ':') {
        snprintf(problem_out, SFL_PROBLEM_MAX, "%.*s needs a value: %s", size, token,
                 argument_of(place_of(optopt)));
        return;
    }
    bool known = optopt >= FIRST_FLAG;
    bool is_long = strncmp(token, "--", 2) == 0;
    const char *meant = known || !is_long ? NULL
                                          : sfl_nearest(token + 2, (size_t)size - 2, name_of,
                                                        sfl_setting_count + sfl_command_flag_count);
    snprintf(problem_out, SFL_PROBLEM_MAX, "%.*s %s%s%s%s", size > 64 ? 64 : size, token,
             known ? "takes no value" : "is not a flag", meant == NULL ? "" : "; is --",
             meant == NULL ? "" : meant, meant == NULL ? "" : " meant?");
}

// Notes one flag. True: go on reading.
static bool note_flag(struct sfl_command_line *line, size_t place)
{
    if (place < sfl_setting_count) {
        line->flags[line->flag_count++] =
            (struct sfl_given_flag){place, optarg == NULL ? "yes" : optarg};
        return true;
    }
    const struct sfl_command_flag *flag = &sfl_command_flags[place - sfl_setting_count];
    if (flag->command == SFL_COMMAND_RUN) {
        line->config_path = optarg;
        return true;
    }
    line->command = flag->command;
    // Some want the settings as well.
    return flag->command == SFL_COMMAND_CHECK_CONFIG || flag->command == SFL_COMMAND_HEALTH;
}

static enum sfl_status read_flags(int argc, char *const argv[], struct sfl_command_line *line,
                                  char problem_out[SFL_PROBLEM_MAX])
{
    struct option options[FLAGS_MAX + 1];
    fill_options(options);
    opterr = 0; // the sentences are ours
    optind = 0; // begins anew, also after an earlier call
    bool more = true;
    int at = 1;
    // "+": stop at the first argument that is no flag; ":": tell a missing value from a bad flag.
    for (int result = 0; more; at = optind) {
        result = getopt_long(argc, argv, "+:hV", options, NULL);
        if (result == -1)
            break;
        if (result == '?' || result == ':') {
            describe_refusal(result, argv[at], problem_out);
            return SFL_INVALID_ARGUMENT;
        }
        size_t place = place_of(result);
        if (is_abbreviated(argv[at], place)) {
            snprintf(problem_out, SFL_PROBLEM_MAX, "%.*s is not a flag; is --%s meant?",
                     (int)strcspn(argv[at], "="), argv[at], name_of(place));
            return SFL_INVALID_ARGUMENT;
        }
        more = note_flag(line, place);
    }
    if (more && optind < argc) {
        snprintf(problem_out, SFL_PROBLEM_MAX,
                 "\"%.64s\" is not expected; settings are given as --name value", argv[optind]);
        return SFL_INVALID_ARGUMENT;
    }
    return SFL_OK;
}

enum sfl_status sfl_command_line_parse(int argc, char *const argv[],
                                       struct sfl_command_line *line_out,
                                       char problem_out[SFL_PROBLEM_MAX])
{
    struct sfl_command_line line = {.command = SFL_COMMAND_RUN};
    line.flags = calloc((size_t)argc + 1, sizeof(*line.flags));
    if (line.flags == NULL) {
        snprintf(problem_out, SFL_PROBLEM_MAX, "%s", sfl_status_text(SFL_NO_MEMORY));
        return SFL_NO_MEMORY;
    }
    enum sfl_status status = read_flags(argc, argv, &line, problem_out);
    if (status != SFL_OK) {
        sfl_command_line_deinit(&line);
        return status;
    }
    *line_out = line;
    return SFL_OK;
}

void sfl_command_line_deinit(struct sfl_command_line *line)
{
    free(line->flags);
    *line = (struct sfl_command_line){.command = SFL_COMMAND_RUN};
}
