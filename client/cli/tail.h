// SPDX-License-Identifier: Apache-2.0
// The last lines of something that may be long: what a failed command said on its standard error.
#ifndef SFL_CLI_TAIL_H
#define SFL_CLI_TAIL_H

#include <stdbool.h>
#include <stddef.h>

#define SFL_CLI_TAIL_BYTES_MAX 4096

// Begins as {0}.
struct sfl_cli_tail {
    char bytes[SFL_CLI_TAIL_BYTES_MAX];
    size_t used;
    bool is_cut; // there was more before
};

void sfl_cli_tail_append(struct sfl_cli_tail *tail, const char *data, size_t data_bytes);

// Where the first whole line begins; the text ends at `tail->bytes + tail->used`.
const char *sfl_cli_tail_begin(const struct sfl_cli_tail *tail);

#endif
