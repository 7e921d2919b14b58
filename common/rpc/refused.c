// SPDX-License-Identifier: Apache-2.0
#include "rpc/refused.h"

#include "base/entropy.h"

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <grpc/slice_buffer.h>

#include <stdbool.h>
#include <string.h>

#define SECRET_BYTES (SFL_REFUSED_MARK_BYTES - 1)

static uint8_t secret[SECRET_BYTES];
static bool has_secret;

void sfl_refused_make_mark(uint8_t mark_out[static SFL_REFUSED_MARK_BYTES])
{
    sfl_entropy_fill(secret, sizeof(secret));
    has_secret = true;
    memcpy(mark_out, secret, SECRET_BYTES);
    mark_out[SECRET_BYTES] = 0;
}

enum sfl_refused sfl_refused_read(const grpc_byte_buffer *message)
{
    if (!has_secret || message == NULL)
        return SFL_REFUSED_NOT;
    // The mark may be cut where the connection's bytes were.
    const grpc_slice_buffer *slices = &message->data.raw.slice_buffer;
    size_t place = 0;
    for (size_t i = 0; i < slices->count; i++) {
        const uint8_t *bytes = GRPC_SLICE_START_PTR(slices->slices[i]);
        for (size_t j = 0; j < GRPC_SLICE_LENGTH(slices->slices[i]); j++, place++) {
            if (place == SECRET_BYTES)
                return (enum sfl_refused)bytes[j];
            if (bytes[j] != secret[place])
                return SFL_REFUSED_NOT;
        }
    }
    return SFL_REFUSED_NOT;
}
