// SPDX-License-Identifier: Apache-2.0
#include "bench/frames.h"

#include <string.h>

enum { VARINT = 0 };

void bench_key_write(uint8_t key[BENCH_KEY_BYTES], uint32_t number)
{
    memcpy(key, "article:", 8);
    for (unsigned i = 0; i < 8; i++)
        key[8 + i] = (uint8_t)('@' | (number >> (28 - 4 * i) & 15));
}

uint32_t bench_key_number(const uint8_t key[BENCH_KEY_BYTES])
{
    uint32_t number = 0;
    for (unsigned i = 8; i < BENCH_KEY_BYTES; i++)
        number = number << 4 | (key[i] & 15U);
    return number;
}

// The size of a length-delimited field of `size` bytes.
static uint64_t field_size(uint64_t size)
{
    return 1 + bench_varint_size(size) + size;
}

static uint64_t sequence_size(uint64_t sequence)
{
    return sequence == 0 ? 0 : 1 + bench_varint_size(sequence);
}

static uint8_t *put_join(uint8_t *at, const struct bench_what *what)
{
    at = bench_put_length(at, 2, BENCH_KEY_BYTES);
    bench_key_write(at, what->number);
    at += BENCH_KEY_BYTES;
    return what->retain_ms == 0 ? at : bench_put_number(at, 6, what->retain_ms);
}

// The body of a step up to its value, and its whole size.
static uint64_t put_body(struct bench_head *head, const struct bench_what *what)
{
    uint8_t *at = head->bytes;
    uint64_t whole = 0;
    if (what->step == BENCH_JOIN) {
        at = put_join(at, what);
        whole = (uint64_t)(at - head->bytes);
    } else if (what->step == BENCH_POST) {
        at = bench_put_length(at, 1, what->value_bytes);
        whole = field_size(what->value_bytes) + sequence_size(what->number);
    } else if (what->step == BENCH_FINISH) {
        uint64_t outcome = 2 + field_size(what->value_bytes);
        at = bench_put_length(at, 1, outcome);
        at = bench_put_number(at, 1, 1);
        at = bench_put_length(at, 2, what->value_bytes);
        whole = field_size(outcome);
    }
    head->size = (size_t)(at - head->bytes);
    return whole;
}

void bench_do_head(struct bench_head *head, const struct bench_what *what)
{
    struct bench_head body;
    uint64_t whole = put_body(&body, what);
    uint8_t *at = bench_put_length(head->bytes, what->step, whole);
    memcpy(at, body.bytes, body.size);
    head->size = (size_t)(at - head->bytes) + body.size;
}

void bench_session_head(struct bench_head *head, uint64_t id, const struct bench_what *what)
{
    struct bench_head body;
    uint64_t whole = put_body(&body, what);
    uint8_t *at = bench_put_length(head->bytes, 1, 1 + bench_varint_size(id) + field_size(whole));
    at = bench_put_number(at, 1, id);
    at = bench_put_length(at, what->step + 1U, whole);
    memcpy(at, body.bytes, body.size);
    head->size = (size_t)(at - head->bytes) + body.size;
}

void bench_tail(struct bench_head *tail, uint64_t sequence)
{
    tail->size = 0;
    if (sequence != 0)
        tail->size = (size_t)(bench_put_number(tail->bytes, 2, sequence) - tail->bytes);
}

// ---- reading

bool bench_reader_init(struct bench_reader *reader, grpc_byte_buffer *buffer)
{
    memset(reader, 0, sizeof *reader);
    return grpc_byte_buffer_reader_init(&reader->buffer, buffer) != 0;
}

void bench_reader_deinit(struct bench_reader *reader)
{
    grpc_byte_buffer_reader_destroy(&reader->buffer);
}

bool bench_reader_next(struct bench_reader *reader)
{
    grpc_slice *slice;
    do {
        if (reader->failed || !grpc_byte_buffer_reader_peek(&reader->buffer, &slice))
            return false;
    } while (GRPC_SLICE_LENGTH(*slice) == 0);
    reader->at = GRPC_SLICE_START_PTR(*slice);
    reader->end = reader->at + GRPC_SLICE_LENGTH(*slice);
    reader->position += GRPC_SLICE_LENGTH(*slice);
    return true;
}

// Nothing can be read any more.
static void fail(struct bench_reader *reader)
{
    reader->failed = true;
    reader->at = reader->end;
}

uint64_t bench_read_long_varint(struct bench_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (bench_reader_is_done(reader))
            break;
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    fail(reader);
    return 0;
}

void bench_read_across(struct bench_reader *reader, void *bytes, uint64_t size)
{
    uint8_t *to = bytes;
    while (size > 0) {
        if (bench_reader_is_done(reader)) {
            fail(reader);
            return;
        }
        uint64_t here = (uint64_t)(reader->end - reader->at);
        uint64_t count = size < here ? size : here;
        if (to != NULL) {
            memcpy(to, reader->at, count);
            to += count;
        }
        reader->at += count;
        size -= count;
    }
}

bool bench_read_frame(struct bench_reader *reader, uint64_t *id, unsigned *field, uint64_t *body)
{
    if (bench_reader_is_done(reader))
        return false;
    uint64_t tag = bench_read_varint(reader);
    uint64_t size = bench_read_varint(reader);
    uint64_t end = bench_reader_position(reader) + size;
    *id = 0;
    while (!reader->failed && bench_reader_position(reader) < end) {
        tag = bench_read_varint(reader);
        uint64_t number = bench_read_varint(reader);
        if ((tag & 7) == VARINT) {
            if (tag >> 3 == 1)
                *id = number;
            continue;
        }
        *field = (unsigned)(tag >> 3);
        *body = number;
        // The step is the frame's last field, as every encoder of protobuf writes it.
        return !reader->failed && bench_reader_position(reader) + number == end;
    }
    return false;
}
