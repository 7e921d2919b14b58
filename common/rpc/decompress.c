// SPDX-License-Identifier: Apache-2.0
#include "rpc/decompress.h"

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <grpc/slice_buffer.h>

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

#define ROOM_FIRST 4096

struct inflater {
    z_stream stream;
    uint8_t *bytes;
    size_t size;
    size_t room;
    size_t size_max;
};

// Makes more room, up to one byte above the limit: that one tells that there is more.
static bool grow(struct inflater *inflater)
{
    size_t room_max = inflater->size_max == SIZE_MAX ? SIZE_MAX : inflater->size_max + 1;
    size_t room = inflater->room < ROOM_FIRST / 2 ? ROOM_FIRST : inflater->room * 2;
    if (room > room_max || room < inflater->room)
        room = room_max;
    uint8_t *bytes = realloc(inflater->bytes, room);
    if (bytes == NULL)
        return false;
    inflater->bytes = bytes;
    inflater->room = room;
    return true;
}

// Takes in what one slice holds. `*is_done_out` becomes true at the end of the compressed data.
static enum sfl_status take_in(struct inflater *inflater, grpc_slice slice, bool *is_done_out)
{
    z_stream *stream = &inflater->stream;
    stream->next_in = GRPC_SLICE_START_PTR(slice);
    stream->avail_in = (uInt)GRPC_SLICE_LENGTH(slice);
    for (;;) {
        if (inflater->size == inflater->room && !grow(inflater))
            return SFL_NO_MEMORY;
        size_t room = inflater->room - inflater->size;
        stream->next_out = inflater->bytes + inflater->size;
        stream->avail_out = room > UINT_MAX ? UINT_MAX : (uInt)room;
        uInt room_before = stream->avail_out;
        int result = inflate(stream, Z_NO_FLUSH);
        inflater->size += room_before - stream->avail_out;
        if (inflater->size > inflater->size_max)
            return SFL_RESOURCE_EXHAUSTED;
        if (result == Z_STREAM_END) {
            *is_done_out = true;
            return stream->avail_in == 0 ? SFL_OK : SFL_INTERNAL;
        }
        if (result == Z_MEM_ERROR)
            return SFL_NO_MEMORY;
        if (result != Z_OK && result != Z_BUF_ERROR)
            return SFL_INTERNAL;
        if (stream->avail_in == 0 && stream->avail_out > 0)
            return SFL_OK;
    }
}

static enum sfl_status take_in_all(struct inflater *inflater, const grpc_slice_buffer *slices)
{
    bool is_done = false;
    for (size_t i = 0; i < slices->count; i++) {
        if (GRPC_SLICE_LENGTH(slices->slices[i]) == 0)
            continue;
        if (is_done)
            return SFL_INTERNAL; // bytes after the end
        enum sfl_status status = take_in(inflater, slices->slices[i], &is_done);
        if (status != SFL_OK)
            return status;
    }
    return is_done ? SFL_OK : SFL_INTERNAL;
}

enum sfl_status sfl_decompress(grpc_byte_buffer *buffer, uint64_t bytes_max, uint8_t **bytes_out,
                               size_t *size_out)
{
    struct inflater inflater = {.size_max = bytes_max == 0 ? SIZE_MAX : (size_t)bytes_max};
    // zlib's way to say which of the two wrappings is expected.
    int window_bits = buffer->data.raw.compression == GRPC_COMPRESS_GZIP ? 15 + 16 : 15;
    if (inflateInit2(&inflater.stream, window_bits) != Z_OK)
        return SFL_NO_MEMORY;
    enum sfl_status status = take_in_all(&inflater, &buffer->data.raw.slice_buffer);
    inflateEnd(&inflater.stream);
    if (status != SFL_OK) {
        free(inflater.bytes);
        return status;
    }
    *bytes_out = inflater.bytes;
    *size_out = inflater.size;
    return SFL_OK;
}
