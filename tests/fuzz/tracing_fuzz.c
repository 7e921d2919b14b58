// SPDX-License-Identifier: Apache-2.0
// What callers and the environment say of traces: a trace context (a first byte of 't'), a list of
// pairs ('p'), the answer of a collector (everything else).
#include "tracing/encode.h"
#include "tracing/pairs.h"
#include "tracing/trace_context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "tracing_fuzz:%d: %s\n", __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

// What was read, written anew, is how the text begins; but for the flags that nobody knows.
static void read_context(struct sfl_span text)
{
    struct sfl_trace_context context = sfl_trace_context_read(text);
    char written[56] = "";
    char *at = written;
    if (!context.is_set)
        return;
    CHECK(text.size >= 55);
    at += sprintf(at, "-");
    for (size_t i = 0; i < SFL_TRACE_ID_BYTES; i++)
        at += sprintf(at, "%02x", context.trace_id[i]);
    at += sprintf(at, "-");
    for (size_t i = 0; i < SFL_TRACE_SPAN_BYTES; i++)
        at += sprintf(at, "%02x", context.span_id[i]);
    CHECK(memcmp(written, text.data + 2, (size_t)(at - written)) == 0);
    CHECK(memcmp(text.data, "ff", 2) != 0);
    CHECK(text.size == 55 || (text.data[55] == '-' && memcmp(text.data, "00", 2) != 0));
}

static void read_pairs(struct sfl_span text)
{
    struct sfl_pairs pairs = {0};
    char *copy = calloc(1, text.size + 1);
    CHECK(copy != NULL);
    memcpy(copy, text.data, text.size);
    if (sfl_pairs_read(&pairs, copy) != SFL_OK)
        CHECK(pairs.count == 0);
    for (size_t i = 0; i < pairs.count; i++) {
        CHECK(pairs.items[i].key[0] != '\0');
        CHECK(strlen(pairs.items[i].value) <= strlen(copy));
    }
    sfl_pairs_deinit(&pairs);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct sfl_span rest = sfl_span_of(data + 1, size - 1);
    if (data[0] == 't')
        read_context(rest);
    else if (data[0] == 'p')
        read_pairs(rest);
    else
        (void)sfl_decode_rejected(rest);
    return 0;
}
