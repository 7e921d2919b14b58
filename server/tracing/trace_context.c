// SPDX-License-Identifier: Apache-2.0
#include "tracing/trace_context.h"

enum {
    TRACE_AT = 3,
    SPAN_AT = 36,
    FLAGS_AT = 53,
    LENGTH = 55,
    FLAG_SAMPLED = 1,
    VERSION_INVALID = 0xff,
};

// The value of a digit; -1 for what is none. Capital letters are none.
static int digit(uint8_t letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    if (letter >= 'a' && letter <= 'f')
        return letter - 'a' + 10;
    return -1;
}

// Reads `count` bytes, two digits each. False when one of them is none.
static bool read_bytes(const uint8_t *text, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int high = digit(text[2 * i]);
        int low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

// A version that is not known may have more behind a dash.
static bool has_length(struct sfl_span text, uint8_t version)
{
    return text.size == LENGTH || (version > 0 && text.data[LENGTH] == '-');
}

static bool has_dashes(struct sfl_span text)
{
    return text.data[TRACE_AT - 1] == '-' && text.data[SPAN_AT - 1] == '-' &&
           text.data[FLAGS_AT - 1] == '-';
}

struct sfl_trace_context sfl_trace_context_read(struct sfl_span text)
{
    static const struct sfl_trace_context none = {0};
    struct sfl_trace_context context = {.is_set = true};
    uint8_t version = 0;
    uint8_t flags = 0;
    if (text.size < LENGTH || !has_dashes(text) || !read_bytes(text.data, &version, 1) ||
        version == VERSION_INVALID || !has_length(text, version))
        return none;
    if (!read_bytes(text.data + TRACE_AT, context.trace_id, SFL_TRACE_ID_BYTES) ||
        !read_bytes(text.data + SPAN_AT, context.span_id, SFL_TRACE_SPAN_BYTES) ||
        !read_bytes(text.data + FLAGS_AT, &flags, 1))
        return none;
    if (is_zero(context.trace_id, SFL_TRACE_ID_BYTES) ||
        is_zero(context.span_id, SFL_TRACE_SPAN_BYTES))
        return none;
    context.is_sampled = (flags & FLAG_SAMPLED) != 0;
    return context;
}
