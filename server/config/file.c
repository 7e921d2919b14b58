// SPDX-License-Identifier: Apache-2.0
#include "config/file.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

struct reading {
    const char *path;
    FILE *file;
    struct sfl_setting_value *values;
    char *problem;          // SFL_PROBLEM_MAX bytes
    unsigned line;          // the one that was read last, from 1
    enum sfl_status status; // the first failure counts
};

__attribute__((format(printf, 2, 3))) static void refuse(struct reading *reading,
                                                         const char *format, ...)
{
    if (reading->status != SFL_OK)
        return;
    reading->status = SFL_INVALID_ARGUMENT;
    int size =
        snprintf(reading->problem, SFL_PROBLEM_MAX, "%.255s:%u: ", reading->path, reading->line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reading->problem + size, SFL_PROBLEM_MAX - (size_t)size, format, arguments);
    va_end(arguments);
}

// Hands one line to inih. Blanks at its beginning are dropped, because inih would take the line for
// the continuation of the one before. Being the reader is also how we know the line's number.
static char *read_line(char *buffer, int size_max, void *context)
{
    struct reading *reading = context;
    int size = 0;
    int c = getc(reading->file);
    if (c == EOF || reading->status != SFL_OK)
        return NULL;
    reading->line++;
    for (; c != EOF && c != '\n'; c = getc(reading->file)) {
        if (size == 0 && isblank(c))
            continue;
        if (c == '\0')
            refuse(reading, "has a NUL byte");
        // A comment after a value; inih knows ';' alone.
        if (c == '#' && size > 0 && isblank(buffer[size - 1]))
            c = ';';
        if (size >= size_max - 2)
            refuse(reading, "is longer than %d bytes; give a list on several lines", size_max - 2);
        if (reading->status != SFL_OK)
            return NULL;
        buffer[size++] = (char)c;
    }
    buffer[size++] = '\n';
    buffer[size] = '\0';
    return buffer;
}

static int on_entry(void *context, const char *section, const char *name, const char *text)
{
    struct reading *reading = context;
    if (reading->status != SFL_OK)
        return 0;
    if (section[0] != '\0') {
        refuse(reading, "the file has no [sections], and here is one: [%.40s]", section);
        return 0;
    }
    size_t place = sfl_setting_find(name, strlen(name));
    if (place == sfl_setting_count) {
        refuse(reading, "\"%.64s\" is not a setting", name);
        return 0;
    }
    const struct sfl_setting *setting = &sfl_setting_table[place];
    struct sfl_setting_value *value = &reading->values[place];
    char why[SFL_PROBLEM_MAX];
    if (sfl_setting_value_give(value, setting, SFL_SOURCE_FILE, text, why) != SFL_OK) {
        refuse(reading, "%s %.320s", setting->name, why);
        return 0;
    }
    if (value->given > 1 && setting->type != SFL_SETTING_TEXT_LIST) {
        refuse(reading, "%s stands here again; it was set on line %u", setting->name, value->line);
        return 0;
    }
    value->line = reading->line;
    return 1;
}

enum sfl_status sfl_config_file_read(const char *path, struct sfl_setting_value *values,
                                     char problem_out[SFL_PROBLEM_MAX])
{
    struct reading reading = {
        .path = path, .values = values, .problem = problem_out, .status = SFL_OK};
    reading.file = fopen(path, "re");
    if (reading.file == NULL) {
        snprintf(problem_out, SFL_PROBLEM_MAX, "cannot read the config file %.255s: %s", path,
                 strerror(errno));
        return SFL_NOT_FOUND;
    }
    int bad_line = ini_parse_stream(read_line, &reading, on_entry, &reading);
    if (ferror(reading.file) && reading.status == SFL_OK) {
        snprintf(problem_out, SFL_PROBLEM_MAX, "cannot read the config file %.255s: %s", path,
                 strerror(errno));
        reading.status = SFL_NOT_FOUND;
    } else if (bad_line != 0) {
        reading.line = bad_line > 0 ? (unsigned)bad_line : reading.line;
        refuse(&reading, "is not \"name = value\"");
    }
    fclose(reading.file);
    return reading.status;
}
