// SPDX-License-Identifier: Apache-2.0
#include "cli/text.h"

#include "base/utf8.h"
#include "cli/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *escape(const unsigned char *bytes, size_t count, bool escapes_backslash)
{
    bool is_text = sfl_utf8_is_valid(sfl_span_of(bytes, count));
    char *text = sfl_cli_allocate(count * 4 + 1);
    char *end = text;
    for (size_t i = 0; i < count; i++) {
        bool is_plain =
            bytes[i] >= 0x20 && bytes[i] < 0x7f && !(bytes[i] == '\\' && escapes_backslash);
        // The control characters of Unicode begin with C2 80 to C2 9F.
        bool is_control = bytes[i] == 0xc2 && i + 1 < count && bytes[i + 1] < 0xa0;
        if (is_plain || (bytes[i] >= 0x80 && is_text && !is_control))
            *end++ = (char)bytes[i];
        else if (is_control && is_text)
            end += sprintf(end, "\\x%02x\\x%02x", bytes[i], bytes[i + 1]), i++;
        else
            end += sprintf(end, "\\x%02x", bytes[i]);
    }
    *end = '\0';
    return text;
}

char *sfl_cli_readable(const void *bytes, size_t bytes_count)
{
    return escape(bytes, bytes_count, true);
}

char *sfl_cli_vline(const char *format, va_list arguments)
{
    char *words = NULL;
    int length = vasprintf(&words, format, arguments);
    if (length < 0)
        return sfl_cli_copy_text("singleflight: there is no memory for words\n");
    char *text = escape((const unsigned char *)words, (size_t)length, false);
    free(words);
    char *line = NULL;
    if (asprintf(&line, "singleflight: %s\n", text) < 0)
        line = sfl_cli_copy_text("singleflight: there is no memory for words\n");
    free(text);
    return line;
}

void sfl_cli_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *line = sfl_cli_vline(format, arguments);
    va_end(arguments);
    fputs(line, stderr);
    free(line);
}
