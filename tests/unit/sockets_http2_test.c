// SPDX-License-Identifier: Apache-2.0
// What is seen in the bytes of an HTTP/2 connection before gRPC sees them.
#include "sockets/http2_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, CONTINUATION = 9 };
enum { END_STREAM = 0x1, END_HEADERS = 0x4, PADDED = 0x8 };
enum { LIMIT = 1000, UNFINISHED = 2500, LARGE = 1, FULL = 2 };

static const struct sfl_http2_options options = {
    .message_bytes_max = LIMIT,
    .unfinished_bytes_max = UNFINISHED,
    .streams_max = 100,
    .seed = 12345,
    .mark = "0123456789abcde",
    .reason_too_large = LARGE,
    .reason_connection_full = FULL,
};

// One connection, and the bytes that a story gives to it: first to be changed, then as they were.
struct wire {
    struct sfl_http2 http2;
    uint8_t bytes[1 << 18];
    size_t size;
    size_t step; // so many bytes are handed over at once
};

static void add(struct wire *wire, const void *bytes, size_t size)
{
    assert_true(wire->size + size <= sizeof(wire->bytes));
    memcpy(wire->bytes + wire->size, bytes, size);
    wire->size += size;
}

static void add_header(struct wire *wire, uint8_t type, uint8_t flags, uint32_t stream, size_t size)
{
    const uint8_t header[] = {
        (uint8_t)(size >> 16),
        (uint8_t)(size >> 8),
        (uint8_t)size,
        type,
        flags,
        (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16),
        (uint8_t)(stream >> 8),
        (uint8_t)stream,
    };
    add(wire, header, sizeof(header));
}

static void add_frame(struct wire *wire, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *payload, size_t size)
{
    add_header(wire, type, flags, stream, size);
    add(wire, payload, size);
}

static void add_open(struct wire *wire, uint32_t stream)
{
    add_frame(wire, HEADERS, END_HEADERS, stream, "headers", 7);
}

// A DATA frame with a prefix of `length` and `size` bytes 'x' behind it.
static void add_message(struct wire *wire, uint32_t stream, uint32_t length, size_t size)
{
    uint8_t payload[4096] = {0, (uint8_t)(length >> 24), (uint8_t)(length >> 16),
                             (uint8_t)(length >> 8), (uint8_t)length};
    assert_true(5 + size <= sizeof(payload));
    memset(payload + 5, 'x', size);
    add_frame(wire, DATA, 0, stream, payload, 5 + size);
}

static void add_bytes(struct wire *wire, uint32_t stream, size_t size)
{
    uint8_t payload[4096];
    memset(payload, 'x', sizeof(payload));
    add_frame(wire, DATA, 0, stream, payload, size);
}

// Hands over what was added, and leaves in wire->bytes what came out of it.
static enum sfl_http2_verdict pass(struct wire *wire)
{
    enum sfl_http2_verdict verdict = SFL_HTTP2_PASS;
    for (size_t at = 0; at < wire->size && verdict == SFL_HTTP2_PASS; at += wire->step) {
        size_t left = wire->size - at;
        verdict = sfl_http2_receive(&wire->http2, wire->bytes + at,
                                    left < wire->step ? left : wire->step);
    }
    return verdict;
}

// The same, and nothing may be changed.
static void pass_unchanged(struct wire *wire)
{
    uint8_t *before = malloc(wire->size);
    memcpy(before, wire->bytes, wire->size);
    assert_int_equal(pass(wire), SFL_HTTP2_PASS);
    assert_memory_equal(wire->bytes, before, wire->size);
    free(before);
    wire->size = 0;
}

static void greet(struct wire *wire)
{
    add(wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    add_frame(wire, SETTINGS, 0, 0, "", 0);
}

// The server ends a stream.
static void end_stream(struct wire *wire, uint32_t stream, uint8_t type)
{
    struct wire out = {.size = 0};
    add_frame(&out, type, END_STREAM, stream, "trailers", 8);
    for (size_t at = 0; at < out.size; at++)
        sfl_http2_sent(&wire->http2, out.bytes + at, 1);
}

static int setup(void **state)
{
    struct wire *wire = calloc(1, sizeof(*wire));
    if (wire == NULL)
        return -1;
    sfl_http2_init(&wire->http2, &options);
    wire->step = sizeof(wire->bytes);
    *state = wire;
    return 0;
}

static int teardown(void **state)
{
    struct wire *wire = *state;
    sfl_http2_deinit(&wire->http2);
    free(wire);
    return 0;
}

// The payload of the last frame that was added: prefix of 16, mark, reason, zeros.
static void expect_mark(const struct wire *wire, const uint8_t *payload, uint8_t reason,
                        size_t zeros)
{
    assert_memory_equal(payload, "\0\0\0\0\x10", 5);
    assert_memory_equal(payload + 5, "0123456789abcde", 15);
    assert_int_equal(payload[20], reason);
    for (size_t i = 0; i < zeros; i++)
        assert_int_equal(payload[21 + i], 0);
    (void)wire;
}

static void messages_within_the_limit_pass_as_they_are(void **state)
{
    struct wire *wire = *state;
    const size_t steps[] = {sizeof(wire->bytes), 1, 3, 7};
    for (size_t i = 0; i < 4; i++) {
        wire->step = steps[i];
        if (i == 0)
            greet(wire);
        uint32_t stream = (uint32_t)i * 2 + 1;
        add_open(wire, stream);
        add_message(wire, stream, 0, 0);
        add_message(wire, stream, LIMIT, LIMIT);
        add_message(wire, stream, 5, 5);
        add_message(wire, stream, 100, 40);
        add_bytes(wire, stream, 60);
        pass_unchanged(wire);
        assert_int_equal(wire->http2.unfinished_bytes, 0);
    }
    assert_int_equal(wire->http2.streams.count, 4);
}

static void several_messages_in_one_frame_and_prefixes_over_two(void **state)
{
    struct wire *wire = *state;
    greet(wire);
    add_open(wire, 1);
    add_frame(wire, DATA, 0, 1, "\0\0\0\0\3abc\0\0\0\0\0\0\0\0", 16);
    add_frame(wire, DATA, 0, 1, "\0\3xyz", 5);
    pass_unchanged(wire);
    assert_int_equal(wire->http2.unfinished_bytes, 0);
}

static void a_message_above_the_limit_becomes_the_mark(void **state)
{
    struct wire *wire = *state;
    greet(wire);
    add_open(wire, 1);
    add_open(wire, 3);
    pass_unchanged(wire);
    add_message(wire, 1, LIMIT + 1, 300);
    size_t next = wire->size;
    add_bytes(wire, 1, 200);
    add_message(wire, 3, 4, 4);
    assert_int_equal(pass(wire), SFL_HTTP2_PASS);
    expect_mark(wire, wire->bytes + 9, LARGE, 300 - 16);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(wire->bytes[next + 9 + i], 0);
    assert_memory_equal(wire->bytes + wire->size - 9, "\0\0\0\0\4xxxx", 9); // the neighbour
    assert_int_equal(wire->http2.unfinished_bytes, 0);
}

static void bytes_one_by_one_give_the_same_mark_behind_a_longer_prefix(void **state)
{
    struct wire *wire = *state;
    wire->step = 1;
    greet(wire);
    add_open(wire, 1);
    pass_unchanged(wire);
    // 0x3e9: the 3 has gone to gRPC before anybody knows that it is too much, so it stays.
    add_message(wire, 1, LIMIT + 1, LIMIT + 1);
    assert_int_equal(pass(wire), SFL_HTTP2_PASS);
    assert_memory_equal(wire->bytes + 9,
                        "\0\0\0\x03\0"
                        "0123456789abcde\1",
                        21);
    for (size_t i = 21; i < 5 + LIMIT + 1; i++)
        assert_int_equal(wire->bytes[9 + i], 0);

    // Too large from the first byte of the length on: nothing of it has gone.
    wire->size = 0;
    add_open(wire, 3);
    pass_unchanged(wire);
    add_message(wire, 3, UINT32_MAX, 100);
    assert_int_equal(pass(wire), SFL_HTTP2_PASS);
    expect_mark(wire, wire->bytes + 9, LARGE, 100 - 16);
}

static void a_compressed_message_is_marked_as_a_plain_one(void **state)
{
    struct wire *wire = *state;
    greet(wire);
    add_open(wire, 1);
    pass_unchanged(wire);
    add_message(wire, 1, LIMIT + 1, 50);
    wire->bytes[9] = 1;
    assert_int_equal(pass(wire), SFL_HTTP2_PASS);
    expect_mark(wire, wire->bytes + 9, LARGE, 50 - 16);
}

static void padding_is_no_message(void **state)
{
    struct wire *wire = *state;
    greet(wire);
    add_open(wire, 1);
    add_frame(wire, DATA, PADDED, 1, "\4\0\0\0\0\2hi\xff\xff\xff\xff", 12);
    add_frame(wire, DATA, PADDED, 1, "\2\0\0\xff\xff", 5);
    add_frame(wire, DATA, PADDED, 1, "\0", 1);
    add_frame(wire, DATA, PADDED, 1, "\7", 1); // more than there is
    add_frame(wire, DATA, 0, 1, "\0\0\1z", 4);
    pass_unchanged(wire);
    assert_int_equal(wire->http2.unfinished_bytes, 0);
}

static void unfinished_messages_of_a_connection_have_a_limit(void **state)
{
    struct wire *wire = *state;
    greet(wire);
    for (uint32_t stream = 1; stream <= 9; stream += 2)
        add_open(wire, stream);
    add_message(wire, 1, LIMIT, 10);
    add_message(wire, 3, LIMIT, 10);
    add_message(wire, 5, 600, 600); // whole: it does not count
    pass_unchanged(wire);
    assert_int_equal(wire->http2.unfinished_bytes, 2 * LIMIT);
    add_message(wire, 5, 600, 100);
    assert_int_equal(pass(wire), SFL_HTTP2_PASS);
    expect_mark(wire, wire->bytes + 9, FULL, 100 - 16);
    wire->size = 0;
    add_message(wire, 7, 400, 100); // fits
    add_message(wire, 9, 10, 3);    // smaller than a mark
    pass_unchanged(wire);

    add_bytes(wire, 1, LIMIT - 10); // one of them is finished
    add_frame(wire, RST_STREAM, 0, 3, "code", 4);
    pass_unchanged(wire);
    assert_int_equal(wire->http2.unfinished_bytes, 410);
    end_stream(wire, 7, HEADERS);
    end_stream(wire, 9, RST_STREAM);
    assert_int_equal(wire->http2.unfinished_bytes, 0);
    assert_int_equal(wire->http2.streams.count, 2);
}

static void a_limit_is_not_got_round_by_cutting_prefixes(void **state)
{
    struct wire *wire = *state;
    wire->step = 1;
    greet(wire);
    uint32_t stream = 1;
    for (; stream < 20; stream += 2) {
        add_open(wire, stream);
        add_message(wire, stream, LIMIT, 1);
    }
    assert_int_equal(pass(wire), SFL_HTTP2_PASS);
    assert_true(wire->http2.unfinished_bytes <= UNFINISHED + 20 * SFL_HTTP2_MARK_BYTES);
}

static void what_comes_for_a_stream_that_is_not_open_is_left_alone(void **state)
{
    struct wire *wire = *state;
    greet(wire);
    add_message(wire, 1, UINT32_MAX, 10);
    add_open(wire, 3);
    end_stream(wire, 3, HEADERS);
    pass_unchanged(wire);
    end_stream(wire, 3, DATA);
    add_message(wire, 3, UINT32_MAX, 10);
    add_open(wire, 4); // even
    add_open(wire, 1); // behind the last one
    pass_unchanged(wire);
    assert_int_equal(wire->http2.streams.count, 0);
}

static void a_block_of_headers_has_an_end(void **state)
{
    struct wire *wire = *state;
    static uint8_t block[16384];
    greet(wire);
    add_frame(wire, HEADERS, 0, 1, block, sizeof(block));
    for (int i = 0; i < 3; i++)
        add_frame(wire, CONTINUATION, i == 2 ? END_HEADERS : 0, 1, block, sizeof(block));
    pass_unchanged(wire); // 64 KiB
    add_frame(wire, HEADERS, 0, 3, block, sizeof(block));
    for (int i = 0; i < 4; i++)
        add_frame(wire, CONTINUATION, 0, 3, block, sizeof(block));
    assert_int_equal(pass(wire), SFL_HTTP2_HEADERS_FLOOD);
}

static void a_block_of_headers_has_few_frames(void **state)
{
    struct wire *wire = *state;
    greet(wire);
    add_frame(wire, HEADERS, 0, 1, "", 0);
    for (int i = 0; i < 31; i++)
        add_frame(wire, CONTINUATION, i == 30 ? END_HEADERS : 0, 1, "x", 1);
    pass_unchanged(wire);
    add_frame(wire, HEADERS, 0, 3, "", 0);
    for (int i = 0; i < 32; i++)
        add_frame(wire, CONTINUATION, 0, 3, "", 0);
    assert_int_equal(pass(wire), SFL_HTTP2_HEADERS_FLOOD);
}

static void open_streams_have_a_limit(void **state)
{
    struct wire *wire = *state;
    greet(wire);
    uint32_t stream = 1;
    for (int i = 0; i < 100; i++, stream += 2)
        add_open(wire, stream);
    add_frame(wire, RST_STREAM, 0, 5, "code", 4);
    add_open(wire, stream);
    pass_unchanged(wire);
    add_open(wire, stream + 2);
    assert_int_equal(pass(wire), SFL_HTTP2_STREAMS_FLOOD);
}

static void what_is_not_http2_passes(void **state)
{
    struct wire *wire = *state;
    wire->step = 5;
    add(wire, "\x16\x03\x01\x02\0\x01\0\x01\xfc", 9);
    add_open(wire, 1);
    add_message(wire, 1, UINT32_MAX, 100);
    pass_unchanged(wire);
    assert_true(wire->http2.stands_aside);
}

static void a_full_read_of_what_cannot_be_seen_is_a_turn(void **state)
{
    struct wire *wire = *state;
    uint8_t bytes[32768] = {0x16, 3, 1};
    assert_int_equal(sfl_http2_receive(&wire->http2, bytes, sizeof(bytes)), SFL_HTTP2_PASS);
    assert_true(wire->http2.work > 1024);
    wire->http2.work = 0;
    assert_int_equal(sfl_http2_receive(&wire->http2, bytes, 300), SFL_HTTP2_PASS);
    assert_in_range(wire->http2.work, 1, 100);
}

static void streams_come_and_go_in_any_order(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct sfl_http2_streams streams = {.seed = 0x9e3779b97f4a7c15};
    static bool is_open[MANY];
    unsigned random = 1;
    for (int round = 0; round < 200000; round++) {
        random = random * 1103515245 + 12345;
        uint32_t i = (random >> 8) % (round < 100000 ? MANY : 50);
        uint32_t number = i * 2 + 1;
        struct sfl_http2_stream *found = sfl_http2_streams_find(&streams, number);
        assert_int_equal(found != NULL, is_open[i]);
        if (found == NULL)
            assert_true(sfl_http2_streams_add(&streams, number));
        else
            sfl_http2_streams_remove(&streams, found);
        is_open[i] = !is_open[i];
    }
    for (uint32_t i = 0; i < MANY; i++) {
        struct sfl_http2_stream *found = sfl_http2_streams_find(&streams, i * 2 + 1);
        assert_int_equal(found != NULL, is_open[i]);
        if (found != NULL)
            sfl_http2_streams_remove(&streams, found);
    }
    assert_int_equal(streams.count, 0);
    assert_true(streams.slot_count <= 4096);
    sfl_http2_streams_deinit(&streams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        STORY(messages_within_the_limit_pass_as_they_are),
        STORY(several_messages_in_one_frame_and_prefixes_over_two),
        STORY(a_message_above_the_limit_becomes_the_mark),
        STORY(bytes_one_by_one_give_the_same_mark_behind_a_longer_prefix),
        STORY(a_compressed_message_is_marked_as_a_plain_one),
        STORY(padding_is_no_message),
        STORY(unfinished_messages_of_a_connection_have_a_limit),
        STORY(a_limit_is_not_got_round_by_cutting_prefixes),
        STORY(what_comes_for_a_stream_that_is_not_open_is_left_alone),
        STORY(a_block_of_headers_has_an_end),
        STORY(a_block_of_headers_has_few_frames),
        STORY(open_streams_have_a_limit),
        STORY(what_is_not_http2_passes),
        STORY(a_full_read_of_what_cannot_be_seen_is_a_turn),
        STORY(streams_come_and_go_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
