// SPDX-License-Identifier: Apache-2.0
#include "cli/tail.h"

#include <string.h>

void sfl_cli_tail_append(struct sfl_cli_tail *tail, const char *data, size_t data_bytes)
{
    if (data_bytes > SFL_CLI_TAIL_BYTES_MAX) {
        data += data_bytes - SFL_CLI_TAIL_BYTES_MAX;
        data_bytes = SFL_CLI_TAIL_BYTES_MAX;
        tail->is_cut = true;
    }
    if (tail->used + data_bytes > SFL_CLI_TAIL_BYTES_MAX) {
        size_t dropped = tail->used + data_bytes - SFL_CLI_TAIL_BYTES_MAX;
        memmove(tail->bytes, tail->bytes + dropped, tail->used - dropped);
        tail->used -= dropped;
        tail->is_cut = true;
    }
    memcpy(tail->bytes + tail->used, data, data_bytes);
    tail->used += data_bytes;
}

const char *sfl_cli_tail_begin(const struct sfl_cli_tail *tail)
{
    if (!tail->is_cut)
        return tail->bytes;
    const char *newline = memchr(tail->bytes, '\n', tail->used);
    bool has_line = newline != NULL && newline + 1 < tail->bytes + tail->used;
    return has_line ? newline + 1 : tail->bytes;
}
