// SPDX-License-Identifier: Apache-2.0
#include "config/print.h"

#include "base/version.h"
#include "config/command_line.h"

#include <stdbool.h>
#include <string.h>

#define WIDTH 80

// Writes `text` in lines of at most WIDTH columns, each begun with `indent`.
static void print_wrapped(const char *indent, const char *text, FILE *out)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t size = strcspn(text, " ");
        if (column > 0 && column + 1 + size > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            column = (size_t)fprintf(out, "%s%.*s", indent, (int)size, text);
        else
            column += (size_t)fprintf(out, " %.*s", (int)size, text);
        text += size;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

// Whether the row begins a new group.
static bool begins_group(size_t place)
{
    return place == 0 ||
           strcmp(sfl_setting_table[place].group, sfl_setting_table[place - 1].group) != 0;
}

static void print_setting_help(const struct sfl_setting *setting, FILE *out)
{
    const char *indent = "        ";
    char bounds[SFL_BOUNDS_TEXT_MAX];
    char text[SFL_BOUNDS_TEXT_MAX + 128];
    bool is_list = setting->type == SFL_SETTING_TEXT_LIST;
    if (setting->type == SFL_SETTING_SWITCH)
        fprintf(out, "  --%s[=%s]\n", setting->name, setting->argument);
    else
        fprintf(out, "  --%s %s%s\n", setting->name, setting->argument, is_list ? "[,...]" : "");
    print_wrapped(indent, setting->help, out);
    sfl_setting_describe_bounds(setting, bounds);
    snprintf(text, sizeof(text), "Default: %s.%s%s%s%s",
             setting->fallback[0] == '\0' ? "none" : setting->fallback,
             bounds[0] == '\0' ? "" : " Takes ", bounds, bounds[0] == '\0' ? "" : ".",
             is_list ? " May be given several times." : "");
    print_wrapped(indent, text, out);
}

void sfl_print_help(FILE *out)
{
    fputs("Usage: singleflightd [--NAME VALUE]...\n\n", out);
    fputs("singleflight across processes: callers that ask for the same key at the same\n"
          "time share one execution and its outcome.\n",
          out);
    for (size_t i = 0; i < sfl_setting_count; i++) {
        if (begins_group(i))
            fprintf(out, "\n%s:\n", sfl_setting_table[i].group);
        print_setting_help(&sfl_setting_table[i], out);
    }
    fputs("\nThis program:\n", out);
    for (size_t i = 0; i < sfl_command_flag_count; i++) {
        const struct sfl_command_flag *flag = &sfl_command_flags[i];
        fprintf(out, "  --%s", flag->name);
        if (flag->letter != 0)
            fprintf(out, ", -%c", flag->letter);
        fprintf(out, "%s%s\n", flag->argument == NULL ? "" : " ",
                flag->argument == NULL ? "" : flag->argument);
        print_wrapped("        ", flag->help, out);
    }
    fputs("\n", out);
    print_wrapped(
        "",
        "Every setting may also be given in the environment (SINGLEFLIGHTD_DRAIN_TIME=10s "
        "for --drain-time) and in the config file (drain-time = 10s). Flags come before "
        "the environment, the environment before the file. Times are whole numbers with "
        "ms, s, m, h or d; sizes are bytes, or with KiB, MiB, GiB or TiB.",
        out);
}

void sfl_print_version(FILE *out)
{
    fprintf(out, "singleflightd %s (git %s)\n", sfl_version(), sfl_revision());
    fprintf(out, "gRPC %s\n", sfl_grpc_version());
}

static void print_bounds(const char *bounds, FILE *out)
{
    char text[SFL_BOUNDS_TEXT_MAX + 16];
    snprintf(text, sizeof(text), "Takes %s.", bounds);
    print_wrapped("; ", text, out);
}

void sfl_print_sample_config(FILE *out)
{
    fprintf(out, "; Settings of singleflightd %s, each with its default.\n;\n", sfl_version());
    print_wrapped("; ",
                  "One \"name = value\" a line; a line that begins with ; or # is a comment. Times "
                  "are whole numbers with ms, s, m, h or d; sizes are bytes, or with KiB, MiB, GiB "
                  "or TiB. Items of a list are parted by commas, or given on several lines.",
                  out);
    for (size_t i = 0; i < sfl_setting_count; i++) {
        const struct sfl_setting *setting = &sfl_setting_table[i];
        char bounds[SFL_BOUNDS_TEXT_MAX];
        if (begins_group(i))
            fprintf(out, "\n; ---- %s ----\n", setting->group);
        fputc('\n', out);
        print_wrapped("; ", setting->help, out);
        sfl_setting_describe_bounds(setting, bounds);
        if (bounds[0] != '\0')
            print_bounds(bounds, out);
        fprintf(out, ";%s =%s%s\n", setting->name, setting->fallback[0] == '\0' ? "" : " ",
                setting->fallback);
    }
}

static void print_source(const struct sfl_setting *setting, const struct sfl_setting_value *value,
                         const char *config_path, FILE *out)
{
    char name[SFL_ENVIRONMENT_NAME_MAX];
    switch (value->source) {
    case SFL_SOURCE_DEFAULT:
        fputs("default", out);
        break;
    case SFL_SOURCE_FILE:
        fprintf(out, "%s:%u", config_path, value->line);
        break;
    case SFL_SOURCE_ENVIRONMENT:
        sfl_setting_environment_name(setting, name);
        fputs(name, out);
        break;
    case SFL_SOURCE_FLAG:
        fprintf(out, "--%s", setting->name);
        break;
    }
}

// For a value written as 0 that stands for another: that one.
static void print_automatic(const struct sfl_setting *setting,
                            const struct sfl_setting_value *value,
                            const struct sfl_settings *settings, FILE *out)
{
    if (setting->zero == NULL || value->number != 0)
        return;
    const void *field = (const char *)settings + setting->offset;
    const struct sfl_setting_value automatic = {
        .number = setting->type == SFL_SETTING_COUNT ? *(const uint32_t *)field
                                                     : *(const uint64_t *)field,
    };
    fputs(", automatic: ", out);
    sfl_setting_value_print(&automatic, setting, out);
}

void sfl_print_settings(const struct sfl_setting_value *values, const struct sfl_settings *settings,
                        const char *config_path, FILE *out)
{
    for (size_t i = 0; i < sfl_setting_count; i++) {
        const struct sfl_setting *setting = &sfl_setting_table[i];
        if (begins_group(i))
            fprintf(out, "%s; ---- %s ----\n", i == 0 ? "" : "\n", setting->group);
        fprintf(out, "%s = ", setting->name);
        sfl_setting_value_print(&values[i], setting, out);
        fputs(" ; ", out);
        print_source(setting, &values[i], config_path, out);
        print_automatic(setting, &values[i], settings, out);
        fputc('\n', out);
    }
}
