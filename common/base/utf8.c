// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <unistr.h>

// Texts are short and mostly ASCII, which needs no table.
static bool is_ascii(struct sfl_span text)
{
    uint8_t high = 0;
    for (size_t i = 0; i < text.size; i++)
        high |= text.data[i];
    return high < 0x80;
}

bool sfl_utf8_is_valid(struct sfl_span text)
{
    return is_ascii(text) || u8_check(text.data, text.size) == NULL;
}

struct sfl_span sfl_utf8_beginning(struct sfl_span text, size_t size_max)
{
    if (text.size <= size_max)
        return text;
    text.size = size_max;
    while (text.size > 0 && !sfl_utf8_is_valid(text))
        text.size--;
    return text;
}
