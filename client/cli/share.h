// SPDX-License-Identifier: Apache-2.0
// What the others get of the command's output: all of it, up to a limit. Beyond that the command
// goes on, and a last line tells how much was left out.
#ifndef SFL_CLI_SHARE_H
#define SFL_CLI_SHARE_H

#include "singleflight.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SFL_CLI_SHARE_NOTE_MAX = 96,   // bytes of the last line
    SFL_CLI_SHARE_HELD_MAX = 4096, // that, and a line that would not be whole beside it
};

struct sfl_cli_share {
    struct singleflight_leader *leader; // borrowed
    uint64_t bytes_max;
    uint64_t shared_bytes;
    uint64_t left_out_bytes;
    bool ends_within_line; // what was shared so far
    // What fits where the last line would go, as long as there may be none: shared at the end.
    char held[SFL_CLI_SHARE_HELD_MAX];
    size_t held_bytes;
};

// Nothing is shared yet. `leader` is used until sfl_cli_share_end().
void sfl_cli_share_begin(struct sfl_cli_share *share, struct singleflight_leader *leader,
                         uint64_t bytes_max);

// Shares bytes, or counts what is left out: whole lines, as long as they fit. That the lead is lost
// is no concern of this function. True at the first time that something is left out.
bool sfl_cli_share_write(struct sfl_cli_share *share, const char *data, size_t data_bytes);

// The last line, if something was left out, or what was held back for it; to be called before the
// leader is finished.
void sfl_cli_share_end(struct sfl_cli_share *share);

#endif
