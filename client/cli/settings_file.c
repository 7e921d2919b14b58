// SPDX-License-Identifier: Apache-2.0
#include "cli/settings_file.h"

#include "base/address.h"
#include "base/nearest.h"
#include "cli/memory.h"
#include "cli/option_table.h"
#include "ini/ini_file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH "/etc/singleflight.conf"
#define PREFIX "SINGLEFLIGHT_"
#define PATH_VARIABLE "SINGLEFLIGHT_CONFIG"

struct reading {
    struct sfl_cli_options *options;
    unsigned lines[SFL_CLI_SETTINGS_MAX]; // on which each was set, beside the table
};

static const char *find_variable(const char *name)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static const char *name_at(size_t place)
{
    const struct sfl_cli_option *option = &sfl_cli_option_table[place];
    return option->variable == NULL ? NULL : option->name;
}

static size_t find_option(const char *name)
{
    size_t place = 0;
    while (place < sfl_cli_option_count &&
           (name_at(place) == NULL || strcmp(name_at(place), name) != 0))
        place++;
    return place;
}

static bool refuse_name(const char *name, char problem[SFL_INI_PROBLEM_MAX])
{
    const char *meant = sfl_nearest(name, strlen(name), name_at, sfl_cli_option_count);
    snprintf(problem, SFL_INI_PROBLEM_MAX, "\"%.64s\" is not a setting%s%s%s", name,
             meant == NULL ? "" : "; is ", meant == NULL ? "" : meant,
             meant == NULL ? "" : " meant?");
    return false;
}

static bool are_addresses(const char *text)
{
    struct sfl_cli_options items = {0};
    const struct sfl_cli_option address = {.type = SFL_CLI_OPTION_ADDRESS};
    bool are_good = sfl_cli_store(&items, &address, text) == NULL;
    for (size_t i = 0; i < items.address_count; i++) {
        struct sfl_address parts;
        are_good = are_good && (strncmp(items.addresses[i], "unix:", 5) == 0 ||
                                sfl_address_split(items.addresses[i], &parts));
    }
    sfl_cli_options_deinit(&items);
    return are_good;
}

// A list goes on.
static void keep(char **kept, const char *text)
{
    size_t size = *kept == NULL ? 0 : strlen(*kept);
    char *longer = sfl_cli_reallocate(*kept, size + strlen(text) + 2);
    sprintf(longer + size, "%s%s", size == 0 ? "" : ",", text);
    *kept = longer;
}

static bool on_entry(void *context, const char *name, const char *text, unsigned line,
                     char problem[SFL_INI_PROBLEM_MAX])
{
    struct reading *reading = context;
    size_t place = find_option(name);
    if (place == sfl_cli_option_count)
        return refuse_name(name, problem);
    if (text[0] == '\0' ||
        (sfl_cli_option_table[place].type == SFL_CLI_OPTION_ADDRESS && !are_addresses(text))) {
        snprintf(problem, SFL_INI_PROBLEM_MAX, "%s \"%.128s\" is no %s", name, text,
                 sfl_cli_option_table[place].argument);
        return false;
    }
    char **kept = &reading->options->from_file[place];
    if (*kept != NULL && sfl_cli_option_table[place].type != SFL_CLI_OPTION_ADDRESS) {
        snprintf(problem, SFL_INI_PROBLEM_MAX, "%s stands here again; it was set on line %u", name,
                 reading->lines[place]);
        return false;
    }
    reading->lines[place] = line;
    keep(kept, text);
    return true;
}

static bool is_given(const struct sfl_cli_options *options, const struct sfl_cli_option *option)
{
    if (option->type == SFL_CLI_OPTION_ADDRESS)
        return options->address_count != 0;
    return *(const char *const *)((const char *)options + option->offset) != NULL;
}

// Into the options, where nobody has said more.
static void hand_over(struct sfl_cli_options *options)
{
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        const struct sfl_cli_option *option = &sfl_cli_option_table[i];
        const char *text = options->from_file[i];
        if (text == NULL || is_given(options, option) || find_variable(option->variable) != NULL)
            continue;
        // That it can be stored was looked at when the file was read.
        const char *problem = sfl_cli_store(options, option, text);
        assert(problem == NULL);
        (void)problem;
    }
}

// What this tool gives to commands, and what names the file.
static const char *const other_variables[] = {PATH_VARIABLE, "SINGLEFLIGHT_TOKEN",
                                              "SINGLEFLIGHT_ATTEMPT", "SINGLEFLIGHT_KEY",
                                              "SINGLEFLIGHT_GROUP"};
#define OTHER_VARIABLES (sizeof(other_variables) / sizeof(other_variables[0]))

static const char *variable_at(size_t place)
{
    const char *name = place < OTHER_VARIABLES
                           ? other_variables[place]
                           : sfl_cli_option_table[place - OTHER_VARIABLES].variable;
    return name == NULL ? NULL : name + strlen(PREFIX);
}

// Others may have variables that begin so, so it is no more than a word.
static void warn_of_misspelt(FILE *err)
{
    for (char *const *entry = environ; *entry != NULL; entry++) {
        const char *name = *entry + strlen(PREFIX);
        if (strncmp(*entry, PREFIX, strlen(PREFIX)) != 0)
            continue;
        size_t size = strcspn(name, "=");
        const char *meant =
            sfl_nearest(name, size, variable_at, OTHER_VARIABLES + sfl_cli_option_count);
        if (meant != NULL && (strlen(meant) != size || memcmp(meant, name, size) != 0))
            fprintf(err, "singleflight: " PREFIX "%.*s is not known; is " PREFIX "%s meant?\n",
                    (int)size, name, meant);
    }
}

bool sfl_cli_read_settings(struct sfl_cli_options *options, FILE *err)
{
    const char *named = find_variable(PATH_VARIABLE);
    struct reading reading = {.options = options};
    const struct sfl_ini_events events = {.on_entry = on_entry, .context = &reading};
    char problem[SFL_INI_PROBLEM_MAX];
    assert(sfl_cli_option_count <= SFL_CLI_SETTINGS_MAX);
    if (!options->quiet)
        warn_of_misspelt(err);
    enum sfl_status status = sfl_ini_file_read(named == NULL ? PATH : named, &events, problem);
    if (status == SFL_NOT_FOUND && named == NULL && errno == ENOENT)
        return true;
    if (status != SFL_OK) {
        fprintf(err, "singleflight: %s\n", problem);
        return false;
    }
    hand_over(options);
    return true;
}
