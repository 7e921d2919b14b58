// SPDX-License-Identifier: Apache-2.0
#include "config/unknown.h"

#include "base/log.h"
#include "config/settings.h"
#include "config/table.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_SIZE (sizeof(SFL_ENVIRONMENT_PREFIX) - 1)

// "DRAIN_TIME" as a setting is called.
static void make_setting_name(const char *variable, size_t size,
                              char name_out[SFL_ENVIRONMENT_NAME_MAX])
{
    for (size_t i = 0; i < size; i++)
        name_out[i] = variable[i] == '_' ? '-' : (char)tolower((unsigned char)variable[i]);
    name_out[size] = '\0';
}

static bool is_known(const char *variable, size_t size)
{
    char name[SFL_ENVIRONMENT_NAME_MAX];
    if (size == strlen("CONFIG") && memcmp(variable, "CONFIG", size) == 0)
        return true;
    for (size_t i = 0; i < sfl_setting_count; i++) {
        sfl_setting_environment_name(&sfl_setting_table[i], name);
        if (strlen(name) == PREFIX_SIZE + size && memcmp(name + PREFIX_SIZE, variable, size) == 0)
            return true;
    }
    return false;
}

static bool is_from_kubernetes(const char *variable)
{
    return strncmp(variable, "PORT", 4) == 0 || strncmp(variable, "SERVICE_", 8) == 0;
}

static void find_meant(const char *variable, size_t size, char meant_out[SFL_ENVIRONMENT_NAME_MAX])
{
    char name[SFL_ENVIRONMENT_NAME_MAX];
    meant_out[0] = '\0';
    if (size >= sizeof(name))
        return;
    make_setting_name(variable, size, name);
    const char *nearest = sfl_setting_nearest(name, size);
    if (nearest != NULL)
        sfl_setting_environment_name(&sfl_setting_table[sfl_setting_find(nearest, strlen(nearest))],
                                     meant_out);
}

void sfl_find_unknown_variables(char *const environment[],
                                void (*on_unknown)(void *context, const char *name,
                                                   const char *meant),
                                void *context)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *variable = *environment + PREFIX_SIZE;
        if (strncmp(*environment, SFL_ENVIRONMENT_PREFIX, PREFIX_SIZE) != 0)
            continue;
        size_t size = strcspn(variable, "=");
        if (is_known(variable, size) || is_from_kubernetes(variable))
            continue;
        char name[PREFIX_SIZE + 128];
        char meant[SFL_ENVIRONMENT_NAME_MAX];
        snprintf(name, sizeof(name), "%.*s", (int)(PREFIX_SIZE + size), *environment);
        find_meant(variable, size, meant);
        on_unknown(context, name, meant);
    }
}

static void warn(void *context, const char *name, const char *meant)
{
    (void)context;
    sfl_log(SFL_LOG_WARN, "unknown_setting", SFL_STR("variable", name), SFL_STR("meant", meant));
}

void sfl_settings_warn_of_unknown(char *const environment[])
{
    sfl_find_unknown_variables(environment, warn, NULL);
}
