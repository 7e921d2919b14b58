// SPDX-License-Identifier: Apache-2.0
#include "config/settings.h"

#include "config/check.h"
#include "config/command_line.h"
#include "config/file.h"
#include "config/print.h"
#include "config/table.h"
#include "config/unknown.h"
#include "config/value.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// One loading from its beginning to its end.
struct loading {
    struct sfl_command_line line;
    struct sfl_setting_value values[SFL_SETTINGS_MAX]; // beside the table
    char *const *environment;
    const char *config_path; // NULL: no file
    FILE *out;
    FILE *err;
};

__attribute__((format(printf, 2, 3))) static void complain(const struct loading *loading,
                                                           const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("singleflightd: ", loading->err);
    vfprintf(loading->err, format, arguments);
    fputc('\n', loading->err);
    va_end(arguments);
}

// The value of an environment variable; NULL when it is not set or empty.
static const char *find_variable(char *const *environment, const char *name)
{
    size_t size = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *entry = *environment;
        if (strncmp(entry, name, size) == 0 && entry[size] == '=')
            return entry[size + 1] == '\0' ? NULL : entry + size + 1;
    }
    return NULL;
}

static void give_defaults(struct loading *loading)
{
    for (size_t i = 0; i < sfl_setting_count; i++) {
        const struct sfl_setting *setting = &sfl_setting_table[i];
        if (setting->fallback[0] == '\0')
            continue;
        char problem[SFL_PROBLEM_MAX];
        enum sfl_status status = sfl_setting_value_give(
            &loading->values[i], setting, SFL_SOURCE_DEFAULT, setting->fallback, problem);
        assert(status == SFL_OK || status == SFL_NO_MEMORY);
    }
}

static int give_file(struct loading *loading)
{
    char problem[SFL_PROBLEM_MAX];
    loading->config_path = loading->line.config_path;
    if (loading->config_path == NULL)
        loading->config_path = find_variable(loading->environment, SFL_ENVIRONMENT_PREFIX "CONFIG");
    if (loading->config_path == NULL)
        return 0;
    if (sfl_config_file_read(loading->config_path, loading->values, problem) == SFL_OK)
        return 0;
    complain(loading, "%s", problem);
    return SFL_EXIT_CONFIG;
}

static int give_environment(struct loading *loading)
{
    for (size_t i = 0; i < sfl_setting_count; i++) {
        const struct sfl_setting *setting = &sfl_setting_table[i];
        char name[SFL_ENVIRONMENT_NAME_MAX];
        char problem[SFL_PROBLEM_MAX];
        sfl_setting_environment_name(setting, name);
        const char *text = find_variable(loading->environment, name);
        if (text == NULL)
            continue;
        if (sfl_setting_value_give(&loading->values[i], setting, SFL_SOURCE_ENVIRONMENT, text,
                                   problem) != SFL_OK) {
            complain(loading, "%s %s", name, problem);
            return SFL_EXIT_CONFIG;
        }
    }
    return 0;
}

static int give_flags(struct loading *loading)
{
    for (size_t i = 0; i < loading->line.flag_count; i++) {
        const struct sfl_given_flag *flag = &loading->line.flags[i];
        const struct sfl_setting *setting = &sfl_setting_table[flag->setting];
        char problem[SFL_PROBLEM_MAX];
        if (sfl_setting_value_give(&loading->values[flag->setting], setting, SFL_SOURCE_FLAG,
                                   flag->text, problem) != SFL_OK) {
            complain(loading, "--%s %s", setting->name, problem);
            return SFL_EXIT_USAGE;
        }
    }
    return 0;
}

// It is worth a word where somebody looks for a mistake.
static void mention_unknown(void *context, const char *name, const char *meant)
{
    const struct loading *loading = context;
    complain(loading, "%s is not a setting and is ignored%s%s%s", name,
             meant[0] == '\0' ? "" : "; is ", meant, meant[0] == '\0' ? "" : " meant?");
}

// Runs the commands that only print. False: there is more to do.
static bool print_and_be_done(const struct loading *loading)
{
    switch (loading->line.command) {
    case SFL_COMMAND_RUN:
    case SFL_COMMAND_CHECK_CONFIG:
    case SFL_COMMAND_HEALTH:
        return false;
    case SFL_COMMAND_HELP:
        sfl_print_help(loading->out);
        return true;
    case SFL_COMMAND_VERSION:
        sfl_print_version(loading->out);
        return true;
    case SFL_COMMAND_SAMPLE_CONFIG:
        sfl_print_sample_config(loading->out);
        return true;
    case SFL_COMMAND_MAN_PAGE:
        sfl_print_man_page(loading->out);
        return true;
    }
    return true;
}

// Fills values from all sources, the weakest first.
static int gather(struct loading *loading)
{
    give_defaults(loading);
    int exit_code = give_file(loading);
    if (exit_code == 0)
        exit_code = give_environment(loading);
    if (exit_code == 0)
        exit_code = give_flags(loading);
    return exit_code;
}

static void hand_over(struct loading *loading, struct sfl_settings *settings)
{
    for (size_t i = 0; i < sfl_setting_count; i++)
        sfl_setting_value_hand_over(&loading->values[i], &sfl_setting_table[i]);
    // The word "none" has done its work.
    if (settings->listen.count == 1 && strcmp(settings->listen.items[0], "none") == 0) {
        free(settings->listen.items[0]);
        free(settings->listen.items);
        settings->listen = (struct sfl_string_list){NULL, 0};
    }
}

static int (*file_check)(const struct sfl_settings *settings);
static int (*health_question)(const struct sfl_settings *settings);

void sfl_settings_set_file_check(int (*check)(const struct sfl_settings *settings))
{
    file_check = check;
}

void sfl_settings_set_health_question(int (*ask)(const struct sfl_settings *settings))
{
    health_question = ask;
}

// True: *settings is filled and owns its strings. False: done, with the exit code.
static bool load(struct loading *loading, struct sfl_settings *settings, int *exit_code)
{
    char problem[SFL_PROBLEM_MAX];
    *exit_code = 0;
    if (print_and_be_done(loading))
        return false;
    *exit_code = gather(loading);
    if (*exit_code != 0)
        return false;
    for (size_t i = 0; i < sfl_setting_count; i++)
        sfl_setting_value_lend(&loading->values[i], &sfl_setting_table[i], settings);
    if (sfl_settings_complete(settings, problem) != SFL_OK) {
        complain(loading, "%s", problem);
        *exit_code = SFL_EXIT_CONFIG;
        return false;
    }
    if (loading->line.command == SFL_COMMAND_CHECK_CONFIG) {
        sfl_find_unknown_variables(loading->environment, mention_unknown, loading);
        if (file_check != NULL)
            *exit_code = file_check(settings);
        // Where both end in one log, what is wrong stands there alone.
        if (*exit_code == 0)
            sfl_print_settings(loading->values, settings, loading->config_path, loading->out);
        return false;
    }
    if (loading->line.command == SFL_COMMAND_HEALTH && health_question != NULL) {
        *exit_code = health_question(settings);
        return false;
    }
    hand_over(loading, settings);
    return true;
}

bool sfl_settings_load(int argc, char *const argv[], char *const environment[], FILE *out,
                       FILE *err, struct sfl_settings *settings_out, int *exit_code_out)
{
    struct loading loading = {.environment = environment, .out = out, .err = err};
    struct sfl_settings settings = {.listen = {NULL, 0}};
    char problem[SFL_PROBLEM_MAX];
    if (sfl_command_line_parse(argc, argv, &loading.line, problem) != SFL_OK) {
        complain(&loading, "%s", problem);
        fputs("Try 'singleflightd --help'.\n", err);
        *exit_code_out = SFL_EXIT_USAGE;
        return false;
    }
    int exit_code = 0;
    bool ready = load(&loading, &settings, &exit_code);
    if (ready)
        *settings_out = settings;
    else
        *exit_code_out = exit_code;
    for (size_t i = 0; i < sfl_setting_count; i++)
        sfl_setting_value_deinit(&loading.values[i]);
    sfl_command_line_deinit(&loading.line);
    return ready;
}

void sfl_settings_deinit(struct sfl_settings *settings)
{
    for (size_t i = 0; i < sfl_setting_count; i++)
        sfl_setting_free(&sfl_setting_table[i], settings);
    *settings = (struct sfl_settings){.listen = {NULL, 0}};
}
