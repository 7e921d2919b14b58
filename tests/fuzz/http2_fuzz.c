// SPDX-License-Identifier: Apache-2.0
// Bytes of a client, and answers of the server, through the look that the guard of the sockets
// takes at a connection. What is seen must not depend on how the bytes are cut into reads, and what
// it counts must stay within its bounds. Of each block of the input the first byte says whose bytes
// they are and how long the block is.
#include "sockets/http2_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "http2_fuzz:%d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { LIMIT = 300, UNFINISHED = 1000, STREAMS = 20 };

static const struct sfl_http2_options options = {
    .message_bytes_max = LIMIT,
    .unfinished_bytes_max = UNFINISHED,
    .streams_max = STREAMS,
    .seed = 7,
    .mark = "0123456789abcde",
    .reason_too_large = 1,
    .reason_connection_full = 2,
};

static void check_state(const struct sfl_http2 *http2)
{
    CHECK(http2->streams.count <= STREAMS);
    uint64_t charged = 0;
    for (uint32_t i = 0; i < http2->streams.slot_count; i++) {
        const struct sfl_http2_stream *stream = &http2->streams.slots[i];
        if (stream->number == 0)
            continue;
        CHECK(stream->left <= stream->length);
        CHECK(stream->length <= LIMIT || stream->prefix_bytes < 5);
        charged += stream->charge;
    }
    CHECK(charged == http2->unfinished_bytes);
    // A refused message of which nothing was taken back counts its mark; a small one always passes.
    CHECK(charged <= UNFINISHED + (uint64_t)STREAMS * LIMIT);
}

// Plays the input, `step` bytes at a time; `bytes` is changed as the connection's bytes are.
static void play(uint8_t *bytes, size_t size, size_t step)
{
    struct sfl_http2 http2;
    uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    sfl_http2_init(&http2, &options);
    CHECK(sfl_http2_receive(&http2, preface, sizeof(preface) - 1) == SFL_HTTP2_PASS);
    enum sfl_http2_verdict verdict = SFL_HTTP2_PASS;
    while (size > 1 && verdict == SFL_HTTP2_PASS) {
        bool is_from_client = (bytes[0] & 1) == 0;
        size_t block = (size_t)(bytes[0] >> 1) + 1;
        bytes++;
        size--;
        block = block < size ? block : size;
        for (size_t at = 0; at < block && verdict == SFL_HTTP2_PASS; at += step) {
            size_t count = step < block - at ? step : block - at;
            if (is_from_client)
                verdict = sfl_http2_receive(&http2, bytes + at, count);
            else
                sfl_http2_sent(&http2, bytes + at, count);
            check_state(&http2);
        }
        bytes += block;
        size -= block;
    }
    sfl_http2_deinit(&http2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t steps[] = {SIZE_MAX / 2, 1, 5};
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        return 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (size > 0)
            memcpy(bytes, data, size);
        play(bytes, size, steps[i]);
    }
    free(bytes);
    return 0;
}
