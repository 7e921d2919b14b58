// SPDX-License-Identifier: Apache-2.0
#include "sockets/http2_private.h"

#include <endian.h>
#include <string.h>

// gRPC refuses metadata above 8 KiB, but only when the block has ended.
#define BLOCK_BYTES_MAX 65536
#define BLOCK_FRAMES_MAX 32

#define PREFIX_BYTES 5 // a flag and four bytes of length

// Where frames cannot be seen, so many bytes count as one, as if they were as small as they can be:
// a turn is one whole read then. With two a flood of resets holds others up for seconds.
#define BYTES_OF_UNSEEN 16

// Taking up a stream costs gRPC about so many times what another frame does.
#define WORK_OF_STREAM 8

enum frame_type { DATA = 0, HEADERS = 1, RST_STREAM = 3, CONTINUATION = 9 };
enum frame_flag { END_STREAM = 0x1, END_HEADERS = 0x4, PADDED = 0x8 };

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_BYTES (sizeof(preface) - 1)

void sfl_http2_init(struct sfl_http2 *http2, const struct sfl_http2_options *options)
{
    *http2 = (struct sfl_http2){.options = options, .streams.seed = options->seed};
}

void sfl_http2_deinit(struct sfl_http2 *http2)
{
    sfl_http2_streams_deinit(&http2->streams);
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

// --- messages ---

static void set_charge(struct sfl_http2 *http2, struct sfl_http2_stream *stream, uint32_t charge)
{
    http2->unfinished_bytes += charge;
    http2->unfinished_bytes -= stream->charge;
    stream->charge = charge;
}

static uint8_t prefix_byte(uint32_t length, unsigned place)
{
    return place == 0 ? 0 : (uint8_t)(length >> 8 * (PREFIX_BYTES - 1 - place));
}

static void write_prefix(const struct sfl_http2_stream *stream, uint8_t *bytes, unsigned place,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = prefix_byte(stream->length, place + (unsigned)i);
}

// What follows the prefix, when it is whole.
static void begin_body(struct sfl_http2_stream *stream)
{
    stream->left = stream->length;
    if (stream->left == 0)
        stream->prefix_bytes = 0;
}

// The reason to refuse a message of at least `least` and at most `most` bytes; 0 for none.
static uint8_t reason_to_refuse(const struct sfl_http2 *http2,
                                const struct sfl_http2_stream *stream, uint64_t least,
                                uint64_t most, size_t at_hand)
{
    const struct sfl_http2_options *options = http2->options;
    if (least > options->message_bytes_max)
        return options->reason_too_large;
    // What was counted when the prefix began to come in is let through.
    if (stream->charge == 0 && most > at_hand && most > SFL_HTTP2_MARK_BYTES &&
        options->unfinished_bytes_max > 0 &&
        http2->unfinished_bytes + most > options->unfinished_bytes_max)
        return options->reason_connection_full;
    return 0;
}

// `kept` is the length that those bytes of the prefix say which have gone to gRPC already.
static void refuse(struct sfl_http2 *http2, struct sfl_http2_stream *stream, uint8_t reason,
                   uint32_t kept)
{
    stream->state = SFL_STREAM_IS_MARKED;
    stream->reason = reason;
    stream->length = kept == 0 ? SFL_HTTP2_MARK_BYTES : kept;
    set_charge(http2, stream, stream->length);
}

// Reads some of a prefix. Bytes of it that have gone to gRPC already cannot be taken back, so the
// length that stands in the place of a refused one goes on from them.
static size_t read_prefix(struct sfl_http2 *http2, struct sfl_http2_stream *stream, uint8_t *bytes,
                          size_t size)
{
    unsigned gone = stream->prefix_bytes;
    uint32_t gone_length = stream->length;
    size_t count = min(PREFIX_BYTES - gone, size);
    stream->prefix_bytes += (uint8_t)count;
    unsigned missing = PREFIX_BYTES - stream->prefix_bytes;
    if (stream->state == SFL_STREAM_IS_MARKED) {
        write_prefix(stream, bytes, gone, count);
        if (missing == 0)
            begin_body(stream);
        return count;
    }
    uint32_t length = gone == 0 ? 0 : gone_length;
    for (size_t i = gone == 0 ? 1 : 0; i < count; i++)
        length = length << 8 | bytes[i];
    uint64_t least = (uint64_t)length << 8 * missing;
    uint64_t most = least + ((UINT64_C(1) << 8 * missing) - 1);
    if (most > http2->options->message_bytes_max)
        most = http2->options->message_bytes_max;
    bool is_known = length > 0 || missing == 0; // how long it is, at least roughly
    uint8_t reason = 0;
    if (is_known)
        reason = reason_to_refuse(http2, stream, least, most, size - count);
    if (reason == 0) {
        stream->length = length;
        set_charge(http2, stream, is_known ? (uint32_t)most : 0);
        if (missing == 0)
            begin_body(stream);
        return count;
    }
    uint64_t kept = gone == 0 ? 0 : (uint64_t)gone_length << 8 * (PREFIX_BYTES - gone);
    refuse(http2, stream, reason, (uint32_t)kept);
    write_prefix(stream, bytes, gone, count);
    if (missing == 0)
        begin_body(stream);
    return count;
}

static void write_mark(const struct sfl_http2 *http2, const struct sfl_http2_stream *stream,
                       uint8_t *bytes, size_t size)
{
    size_t place = stream->length - stream->left;
    for (size_t i = 0; i < size; i++, place++) {
        if (place < SFL_HTTP2_MARK_BYTES - 1)
            bytes[i] = http2->options->mark[place];
        else
            bytes[i] = place == SFL_HTTP2_MARK_BYTES - 1 ? stream->reason : 0;
    }
}

static size_t read_body(struct sfl_http2 *http2, struct sfl_http2_stream *stream, uint8_t *bytes,
                        size_t size)
{
    size_t count = min(stream->left, size);
    bool is_marked = stream->state == SFL_STREAM_IS_MARKED;
    if (is_marked)
        write_mark(http2, stream, bytes, count);
    stream->left -= (uint32_t)count;
    if (stream->left == 0) {
        set_charge(http2, stream, 0);
        stream->prefix_bytes = 0;
        stream->length = 0;
        if (is_marked)
            stream->state = SFL_STREAM_IS_VOID;
    }
    return count;
}

static void read_data(struct sfl_http2 *http2, uint8_t *bytes, size_t size)
{
    struct sfl_http2_stream *stream = sfl_http2_streams_find(&http2->streams, http2->in.number);
    // gRPC skips what comes for a stream that is not open.
    while (stream != NULL && size > 0) {
        if (stream->state == SFL_STREAM_IS_VOID) {
            // Empty messages, which nobody reads; gRPC counts the bytes as it should.
            memset(bytes, 0, size);
            return;
        }
        size_t count = stream->left > 0 ? read_body(http2, stream, bytes, size)
                                        : read_prefix(http2, stream, bytes, size);
        bytes += count;
        size -= count;
    }
}

// --- streams ---

static void close_stream(struct sfl_http2 *http2, uint32_t number)
{
    struct sfl_http2_stream *stream = sfl_http2_streams_find(&http2->streams, number);
    if (stream == NULL)
        return;
    set_charge(http2, stream, 0);
    sfl_http2_streams_remove(&http2->streams, stream);
}

// As gRPC does it: a client's numbers are odd and grow, and others are skipped.
static enum sfl_http2_verdict open_stream(struct sfl_http2 *http2, uint32_t number)
{
    if (number <= http2->last_number || number % 2 == 0)
        return SFL_HTTP2_PASS;
    http2->last_number = number;
    uint32_t max = http2->options->streams_max;
    if (max > 0 && http2->streams.count >= max)
        return SFL_HTTP2_STREAMS_FLOOD;
    return sfl_http2_streams_add(&http2->streams, number) ? SFL_HTTP2_PASS
                                                          : SFL_HTTP2_STREAMS_FLOOD;
}

static enum sfl_http2_verdict count_block(struct sfl_http2 *http2)
{
    const struct sfl_http2_side *in = &http2->in;
    if (in->type == HEADERS) {
        http2->block_bytes = 0;
        http2->block_frames = 0;
    }
    http2->block_bytes += in->left; // below 2^24 each, and looked at each time
    http2->block_frames++;
    return http2->block_bytes > BLOCK_BYTES_MAX || http2->block_frames > BLOCK_FRAMES_MAX
               ? SFL_HTTP2_HEADERS_FLOOD
               : SFL_HTTP2_PASS;
}

// --- frames ---

static uint32_t read_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return be32toh(value);
}

// `header` is whole.
static void begin_frame(struct sfl_http2_side *side, const uint8_t *header)
{
    uint32_t length_and_type = read_u32(header);
    side->header_bytes = SFL_HTTP2_HEADER_BYTES;
    side->left = length_and_type >> 8;
    side->type = (uint8_t)length_and_type;
    side->flags = header[4];
    side->number = read_u32(header + 5) & 0x7fffffff;
    side->awaits_padding = side->type == DATA && (side->flags & PADDED) != 0;
    side->padding = 0;
}

// Reads a frame's header, of which some may have come before; returns how many bytes it took.
static size_t read_header(struct sfl_http2_side *side, const uint8_t *bytes, size_t size)
{
    if (side->header_bytes == 0 && size >= SFL_HTTP2_HEADER_BYTES) {
        begin_frame(side, bytes);
        return SFL_HTTP2_HEADER_BYTES;
    }
    size_t count = min(SFL_HTTP2_HEADER_BYTES - side->header_bytes, size);
    memcpy(side->header + side->header_bytes, bytes, count);
    side->header_bytes += (uint8_t)count;
    if (side->header_bytes == SFL_HTTP2_HEADER_BYTES)
        begin_frame(side, side->header);
    return count;
}

static enum sfl_http2_verdict receive_header(struct sfl_http2 *http2)
{
    const struct sfl_http2_side *in = &http2->in;
    http2->work++;
    if (in->type == DATA)
        return SFL_HTTP2_PASS;
    if (in->type == RST_STREAM)
        close_stream(http2, in->number);
    if (in->type != HEADERS && in->type != CONTINUATION)
        return SFL_HTTP2_PASS;
    enum sfl_http2_verdict verdict = count_block(http2);
    if (in->type == HEADERS && verdict == SFL_HTTP2_PASS) {
        http2->work += WORK_OF_STREAM - 1;
        verdict = open_stream(http2, in->number);
    }
    return verdict;
}

static size_t receive_payload(struct sfl_http2 *http2, uint8_t *bytes, size_t size)
{
    struct sfl_http2_side *in = &http2->in;
    size_t count = min(in->left, size);
    if (in->awaits_padding && count > 0) {
        in->awaits_padding = false;
        in->padding = bytes[0];
        in->left--;
        return 1;
    }
    if (in->type == DATA && in->left > in->padding)
        read_data(http2, bytes, min(count, in->left - in->padding));
    in->left -= (uint32_t)count;
    return count;
}

// Compares with what a client begins with; returns how many bytes it took.
static size_t receive_preface(struct sfl_http2 *http2, const uint8_t *bytes, size_t size)
{
    size_t count = min(PREFACE_BYTES - http2->preface_bytes, size);
    if (memcmp(bytes, preface + http2->preface_bytes, count) != 0)
        http2->stands_aside = true;
    http2->preface_bytes += (uint8_t)count;
    return count;
}

enum sfl_http2_verdict sfl_http2_receive(struct sfl_http2 *http2, uint8_t *bytes, size_t size)
{
    struct sfl_http2_side *in = &http2->in;
    while (size > 0 && !http2->stands_aside) {
        size_t count;
        if (http2->preface_bytes < PREFACE_BYTES) {
            count = receive_preface(http2, bytes, size);
        } else if (in->header_bytes < SFL_HTTP2_HEADER_BYTES) {
            count = read_header(in, bytes, size);
            if (in->header_bytes == SFL_HTTP2_HEADER_BYTES) {
                enum sfl_http2_verdict verdict = receive_header(http2);
                if (verdict != SFL_HTTP2_PASS)
                    return verdict;
            }
        } else {
            count = receive_payload(http2, bytes, size);
        }
        if (in->header_bytes == SFL_HTTP2_HEADER_BYTES && in->left == 0)
            in->header_bytes = 0;
        bytes += count;
        size -= count;
    }
    if (http2->stands_aside)
        http2->work += (uint32_t)((size + BYTES_OF_UNSEEN - 1) / BYTES_OF_UNSEEN);
    return SFL_HTTP2_PASS;
}

void sfl_http2_sent(struct sfl_http2 *http2, const uint8_t *bytes, size_t size)
{
    struct sfl_http2_side *out = &http2->out;
    while (size > 0 && !http2->stands_aside) {
        size_t count;
        if (out->header_bytes < SFL_HTTP2_HEADER_BYTES) {
            count = read_header(out, bytes, size);
        } else {
            count = min(out->left, size);
            out->left -= (uint32_t)count;
        }
        if (out->header_bytes == SFL_HTTP2_HEADER_BYTES && out->left == 0) {
            // At the end of the frame that ends the stream, for both sides: gRPC resets what the
            // client has not ended.
            bool is_last = (out->type == DATA || out->type == HEADERS) && (out->flags & END_STREAM);
            if (is_last || out->type == RST_STREAM)
                close_stream(http2, out->number);
            out->header_bytes = 0;
        }
        bytes += count;
        size -= count;
    }
}
