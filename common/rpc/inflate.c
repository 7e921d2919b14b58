// SPDX-License-Identifier: Apache-2.0
#include "rpc/inflate_private.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 4096

// zlib's way to say which of the two wrappings is expected.
#define WINDOW_BITS_ZLIB 15
#define WINDOW_BITS_GZIP (15 + 16)

enum sfl_status sfl_inflater_init(struct sfl_inflater *inflater, bool is_gzip, uint64_t bytes_max)
{
    memset(inflater, 0, sizeof(*inflater));
    inflater->size_max = bytes_max == 0 || bytes_max > SIZE_MAX ? SIZE_MAX : (size_t)bytes_max;
    int window_bits = is_gzip ? WINDOW_BITS_GZIP : WINDOW_BITS_ZLIB;
    return inflateInit2(&inflater->stream, window_bits) == Z_OK ? SFL_OK : SFL_NO_MEMORY;
}

// Makes more room, up to one byte above the limit: that one tells that there is more.
static bool grow(struct sfl_inflater *inflater)
{
    size_t room_max = inflater->size_max == SIZE_MAX ? SIZE_MAX : inflater->size_max + 1;
    size_t room = inflater->room == 0 ? ROOM_FIRST : inflater->room * 2;
    if (room > room_max || room < inflater->room)
        room = room_max;
    uint8_t *bytes = realloc(inflater->bytes, room);
    if (bytes == NULL)
        return false;
    inflater->bytes = bytes;
    inflater->room = room;
    return true;
}

// One step: unpacks as much as there is room for. Returns what zlib says.
static int step(struct sfl_inflater *inflater)
{
    z_stream *stream = &inflater->stream;
    size_t room = inflater->room - inflater->size;
    uInt room_before = room > UINT_MAX ? UINT_MAX : (uInt)room;
    stream->next_out = inflater->bytes + inflater->size;
    stream->avail_out = room_before;
    int result = inflate(stream, Z_NO_FLUSH);
    inflater->size += room_before - stream->avail_out;
    return result;
}

enum sfl_status sfl_inflater_add(struct sfl_inflater *inflater, struct sfl_span part)
{
    z_stream *stream = &inflater->stream;
    if (part.size == 0)
        return SFL_OK;
    if (inflater->is_done || part.size > UINT_MAX)
        return SFL_INTERNAL;                         // bytes after the end
    stream->next_in = (Bytef *)(uintptr_t)part.data; // zlib only reads
    stream->avail_in = (uInt)part.size;
    for (;;) {
        if (inflater->size == inflater->room && !grow(inflater))
            return SFL_NO_MEMORY;
        int result = step(inflater);
        if (inflater->size > inflater->size_max)
            return SFL_RESOURCE_EXHAUSTED;
        if (result == Z_STREAM_END) {
            inflater->is_done = true;
            return stream->avail_in == 0 ? SFL_OK : SFL_INTERNAL;
        }
        if (result == Z_MEM_ERROR)
            return SFL_NO_MEMORY;
        if (result != Z_OK && result != Z_BUF_ERROR)
            return SFL_INTERNAL;
        // With room left over there is nothing more in this part.
        if (stream->avail_in == 0 && stream->avail_out > 0)
            return SFL_OK;
    }
}

enum sfl_status sfl_inflater_take(struct sfl_inflater *inflater, uint8_t **bytes_out,
                                  size_t *size_out)
{
    if (!inflater->is_done)
        return SFL_INTERNAL;
    *bytes_out = inflater->bytes;
    *size_out = inflater->size;
    inflater->bytes = NULL;
    return SFL_OK;
}

void sfl_inflater_deinit(struct sfl_inflater *inflater)
{
    inflateEnd(&inflater->stream);
    free(inflater->bytes);
}
