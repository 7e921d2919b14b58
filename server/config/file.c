// SPDX-License-Identifier: Apache-2.0
#include "config/file.h"

#include "base/nearest.h"
#include "ini/ini_file.h"

#include <assert.h>
#include <string.h>

static_assert(SFL_PROBLEM_MAX == SFL_INI_PROBLEM_MAX, "problems are handed on");

static bool refuse_name(const char *name, char problem[SFL_PROBLEM_MAX])
{
    const char *meant = sfl_setting_nearest(name, strlen(name));
    snprintf(problem, SFL_PROBLEM_MAX, "\"%.64s\" is not a setting%s%s%s", name,
             meant == NULL ? "" : "; is ", meant == NULL ? "" : meant,
             meant == NULL ? "" : " meant?");
    return false;
}

static bool on_entry(void *context, const char *name, const char *text, unsigned line,
                     char problem[SFL_PROBLEM_MAX])
{
    struct sfl_setting_value *values = context;
    size_t place = sfl_setting_find(name, strlen(name));
    if (place == sfl_setting_count)
        return refuse_name(name, problem);
    const struct sfl_setting *setting = &sfl_setting_table[place];
    struct sfl_setting_value *value = &values[place];
    char why[SFL_PROBLEM_MAX];
    if (sfl_setting_value_give(value, setting, SFL_SOURCE_FILE, text, why) != SFL_OK) {
        snprintf(problem, SFL_PROBLEM_MAX, "%s %.320s", setting->name, why);
        return false;
    }
    if (value->given > 1 && setting->type != SFL_SETTING_TEXT_LIST) {
        snprintf(problem, SFL_PROBLEM_MAX, "%s stands here again; it was set on line %u",
                 setting->name, value->line);
        return false;
    }
    value->line = line;
    return true;
}

enum sfl_status sfl_config_file_read(const char *path, struct sfl_setting_value *values,
                                     char problem_out[SFL_PROBLEM_MAX])
{
    const struct sfl_ini_events events = {.on_entry = on_entry, .context = values};
    return sfl_ini_file_read(path, &events, problem_out);
}
