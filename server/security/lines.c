// SPDX-License-Identifier: Apache-2.0
#include "security/lines_private.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct sfl_span without_comment(struct sfl_span line)
{
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] == '#' && (i == 0 || is_blank(line.data[i - 1])))
            return sfl_span_of(line.data, i);
    }
    return line;
}

bool sfl_take_line(struct sfl_span *text, struct sfl_span *line_out)
{
    if (text->size == 0)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    size_t taken = end == NULL ? size : size + 1;
    *line_out = without_comment(sfl_span_of(text->data, size));
    *text = sfl_span_of(text->data + taken, text->size - taken);
    return true;
}

struct sfl_span sfl_take_word(struct sfl_span *line)
{
    size_t begin = 0;
    while (begin < line->size && is_blank(line->data[begin]))
        begin++;
    size_t end = begin;
    while (end < line->size && !is_blank(line->data[end]))
        end++;
    if (line->data == NULL)
        return *line;
    struct sfl_span word = sfl_span_of(line->data + begin, end - begin);
    *line = sfl_span_of(line->data + end, line->size - end);
    return word;
}

static bool is_of_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool sfl_is_plain_name(struct sfl_span name, size_t size_max)
{
    if (name.size == 0 || name.size > size_max)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        if (!is_of_name(name.data[i]))
            return false;
    }
    return true;
}
