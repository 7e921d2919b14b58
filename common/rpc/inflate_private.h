// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: unpacks compressed messages under a limit. gRPC would unpack them by
// itself, but it looks at the size only afterwards: 4 MiB of zeros in gzip's clothes would take 4
// GiB.
#ifndef SFL_RPC_INFLATE_PRIVATE_H
#define SFL_RPC_INFLATE_PRIVATE_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

struct sfl_inflater {
    z_stream stream;
    bool is_done; // the end of the compressed data has come in
    uint8_t *bytes;
    size_t size;
    size_t room;
    size_t size_max;
};

// Begins a message, in gzip's wrapping or in zlib's ("deflate"), of at most `bytes_max` bytes
// unpacked (0: no limit). To be ended in any case but SFL_NO_MEMORY.
enum sfl_status sfl_inflater_init(struct sfl_inflater *inflater, bool is_gzip,
                                  uint64_t bytes_max) SFL_MUST_USE;

// Takes in the next part. SFL_RESOURCE_EXHAUSTED when the limit is passed, SFL_INTERNAL when the
// bytes cannot be read, SFL_NO_MEMORY; after any of them only deinit may follow.
enum sfl_status sfl_inflater_add(struct sfl_inflater *inflater, struct sfl_span part) SFL_MUST_USE;

// All parts have come in: hands over the message, to be freed with free(). SFL_INTERNAL when it is
// not complete.
enum sfl_status sfl_inflater_take(struct sfl_inflater *inflater, uint8_t **bytes_out,
                                  size_t *size_out) SFL_MUST_USE;

void sfl_inflater_deinit(struct sfl_inflater *inflater);

#endif
