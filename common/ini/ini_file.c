// SPDX-License-Identifier: Apache-2.0
#include "ini/ini_file.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct reading {
    const char *path;
    const struct sfl_ini_events *events;
    FILE *file;
    char *problem;          // SFL_INI_PROBLEM_MAX bytes
    unsigned line;          // the one that was read last, from 1
    enum sfl_status status; // the first failure counts
};

__attribute__((format(printf, 2, 3))) static void refuse(struct reading *reading,
                                                         const char *format, ...)
{
    if (reading->status != SFL_OK)
        return;
    reading->status = SFL_INVALID_ARGUMENT;
    int size = snprintf(reading->problem, SFL_INI_PROBLEM_MAX, "%.255s:%u: ", reading->path,
                        reading->line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reading->problem + size, SFL_INI_PROBLEM_MAX - (size_t)size, format, arguments);
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
    char problem[SFL_INI_PROBLEM_MAX];
    if (reading->status != SFL_OK)
        return 0;
    if (section[0] != '\0') {
        refuse(reading, "the file has no [sections], and here is one: [%.40s]", section);
        return 0;
    }
    const struct sfl_ini_events *events = reading->events;
    if (!events->on_entry(events->context, name, text, reading->line, problem)) {
        refuse(reading, "%s", problem);
        return 0;
    }
    return 1;
}

static enum sfl_status refuse_file(const char *path, char problem_out[SFL_INI_PROBLEM_MAX])
{
    int error = errno;
    snprintf(problem_out, SFL_INI_PROBLEM_MAX, "cannot read the config file %.255s: %s", path,
             strerror(error));
    errno = error;
    return SFL_NOT_FOUND;
}

enum sfl_status sfl_ini_file_read(const char *path, const struct sfl_ini_events *events,
                                  char problem_out[SFL_INI_PROBLEM_MAX])
{
    struct reading reading = {
        .path = path, .events = events, .problem = problem_out, .status = SFL_OK};
    reading.file = fopen(path, "re");
    if (reading.file == NULL)
        return refuse_file(path, problem_out);
    int bad_line = ini_parse_stream(read_line, &reading, on_entry, &reading);
    if (ferror(reading.file) && reading.status == SFL_OK) {
        reading.status = refuse_file(path, problem_out);
    } else if (bad_line != 0) {
        reading.line = bad_line > 0 ? (unsigned)bad_line : reading.line;
        refuse(&reading, "is not \"name = value\"");
    }
    fclose(reading.file);
    return reading.status;
}
