// SPDX-License-Identifier: Apache-2.0
#include "rpc/message_private.h"

#include "rpc/inflate_private.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/slice_buffer.h>

#include <stdlib.h>
#include <string.h>

// Up to this size a copy costs less than a slice of its own (an allocation, a vector entry).
#define SHARED_BYTES_MIN 256

static bool is_copied(const struct sfl_piece *piece)
{
    return piece->release == NULL || piece->bytes.size < SHARED_BYTES_MIN;
}

// Copies `count` pieces into one slice and gives their owners back.
static grpc_slice gather(const struct sfl_piece *pieces, size_t count, size_t size)
{
    grpc_slice slice = grpc_slice_malloc(size);
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    for (size_t i = 0; i < count; i++) {
        struct sfl_span bytes = pieces[i].bytes;
        if (bytes.size == 0)
            continue;
        memcpy(at, bytes.data, bytes.size);
        at += bytes.size;
    }
    sfl_message_release(pieces, count);
    return slice;
}

static grpc_slice refer(const struct sfl_piece *piece)
{
    // gRPC does not write to what it sends.
    void *data = (void *)(uintptr_t)piece->bytes.data;
    return grpc_slice_new_with_user_data(data, piece->bytes.size, piece->release, piece->owner);
}

grpc_byte_buffer *sfl_message_create(const struct sfl_piece *pieces, size_t count)
{
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(NULL, 0);
    grpc_slice_buffer *slices = &buffer->data.raw.slice_buffer;
    size_t i = 0;
    while (i < count) {
        size_t first = i;
        size_t size = 0;
        for (; i < count && is_copied(&pieces[i]); i++)
            size += pieces[i].bytes.size;
        if (size > 0)
            grpc_slice_buffer_add(slices, gather(&pieces[first], i - first, size));
        else
            sfl_message_release(&pieces[first], i - first);
        if (i < count)
            grpc_slice_buffer_add(slices, refer(&pieces[i++]));
    }
    return buffer;
}

void sfl_message_release(const struct sfl_piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].release != NULL)
            pieces[i].release(pieces[i].owner);
    }
}

// Copies a message of several slices into one. Not by gRPC's own "readall": that one aborts when
// there is no memory.
static enum sfl_status flatten(struct sfl_message_view *view, grpc_byte_buffer_reader *reader,
                               size_t size)
{
    uint8_t *data = malloc(size);
    if (data == NULL)
        return SFL_NO_MEMORY;
    size_t filled = 0;
    grpc_slice *part;
    while (grpc_byte_buffer_reader_peek(reader, &part) != 0) {
        size_t part_size = GRPC_SLICE_LENGTH(*part);
        if (part_size > size - filled)
            break;
        memcpy(data + filled, GRPC_SLICE_START_PTR(*part), part_size);
        filled += part_size;
    }
    view->slice = grpc_slice_new(data, size, free);
    view->bytes = sfl_span_of(data, filled);
    return SFL_OK;
}

static enum sfl_status inflate_all(struct sfl_inflater *inflater, const grpc_slice_buffer *slices)
{
    for (size_t i = 0; i < slices->count; i++) {
        grpc_slice *slice = &slices->slices[i];
        struct sfl_span part = sfl_span_of(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
        enum sfl_status status = sfl_inflater_add(inflater, part);
        if (status != SFL_OK)
            return status;
    }
    return SFL_OK;
}

static enum sfl_status unpack(struct sfl_message_view *view, grpc_byte_buffer *buffer,
                              uint64_t bytes_max)
{
    struct sfl_inflater inflater;
    uint8_t *data;
    size_t size;
    bool is_gzip = buffer->data.raw.compression == GRPC_COMPRESS_GZIP;
    enum sfl_status status = sfl_inflater_init(&inflater, is_gzip, bytes_max);
    if (status != SFL_OK)
        return status;
    status = inflate_all(&inflater, &buffer->data.raw.slice_buffer);
    if (status == SFL_OK)
        status = sfl_inflater_take(&inflater, &data, &size);
    if (status == SFL_OK) {
        view->slice = grpc_slice_new(data, size, free);
        view->bytes = sfl_span_of(data, size);
    }
    sfl_inflater_deinit(&inflater);
    return status;
}

enum sfl_status sfl_message_view_init(struct sfl_message_view *view, grpc_byte_buffer *buffer,
                                      uint64_t bytes_max)
{
    size_t size = grpc_byte_buffer_length(buffer);
    view->slice = grpc_empty_slice();
    view->bytes = sfl_span_of("", 0);
    if (size == 0)
        return SFL_OK;
    if (buffer->data.raw.compression != GRPC_COMPRESS_NONE)
        return unpack(view, buffer, bytes_max);
    if (bytes_max > 0 && size > bytes_max)
        return SFL_RESOURCE_EXHAUSTED;
    grpc_byte_buffer_reader reader;
    if (grpc_byte_buffer_reader_init(&reader, buffer) == 0)
        return SFL_INTERNAL;
    enum sfl_status status = SFL_OK;
    if (buffer->data.raw.slice_buffer.count == 1) {
        grpc_byte_buffer_reader_next(&reader, &view->slice);
        view->bytes = sfl_span_of(GRPC_SLICE_START_PTR(view->slice), size);
    } else {
        status = flatten(view, &reader, size);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    return status;
}

void sfl_message_view_deinit(struct sfl_message_view *view)
{
    grpc_slice_unref(view->slice);
}
