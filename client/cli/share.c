// SPDX-License-Identifier: Apache-2.0
#include "cli/share.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void sfl_cli_share_begin(struct sfl_cli_share *share, struct singleflight_leader *leader,
                         uint64_t bytes_max)
{
    *share = (struct sfl_cli_share){.leader = leader, .bytes_max = bytes_max};
}

// False: the bytes do not fit. The library must not be asked then: what it refuses cannot end OK.
static bool post(struct sfl_cli_share *share, const char *data, size_t data_bytes)
{
    if (data_bytes == 0)
        return true;
    if (share->shared_bytes + data_bytes > share->bytes_max)
        return false;
    if (singleflight_leader_write(share->leader, data, data_bytes) ==
        SINGLEFLIGHT_RESOURCE_EXHAUSTED)
        return false;
    share->shared_bytes += data_bytes;
    share->ends_within_line = data[data_bytes - 1] != '\n';
    return true;
}

// The part that still fits: as many whole lines as leave room for the last one.
static size_t fitting_bytes(const struct sfl_cli_share *share, const char *data, size_t data_bytes)
{
    uint64_t used = share->shared_bytes + SFL_CLI_SHARE_NOTE_MAX;
    uint64_t room = used < share->bytes_max ? share->bytes_max - used : 0;
    if (data_bytes <= room)
        return data_bytes;
    const char *end = memrchr(data, '\n', (size_t)room);
    return end == NULL ? 0 : (size_t)(end - data) + 1;
}

// Takes what would be left out, if all of it fits in the place of the last line.
static bool hold(struct sfl_cli_share *share, const char *data, size_t data_bytes)
{
    uint64_t used = share->shared_bytes + share->held_bytes;
    if (data_bytes > sizeof(share->held) - share->held_bytes ||
        used + data_bytes > share->bytes_max)
        return false;
    memcpy(share->held + share->held_bytes, data, data_bytes);
    share->held_bytes += data_bytes;
    return true;
}

bool sfl_cli_share_write(struct sfl_cli_share *share, const char *data, size_t data_bytes)
{
    bool is_whole = share->left_out_bytes == 0;
    bool fits_in_order = is_whole && share->held_bytes == 0;
    size_t fits = fits_in_order ? fitting_bytes(share, data, data_bytes) : 0;
    if (!post(share, data, fits))
        fits = 0;
    size_t rest = data_bytes - fits;
    if (is_whole && hold(share, data + fits, rest))
        return false;
    share->left_out_bytes += share->held_bytes + rest;
    share->held_bytes = 0;
    return is_whole && share->left_out_bytes > 0;
}

void sfl_cli_share_end(struct sfl_cli_share *share)
{
    if (share->left_out_bytes == 0) {
        (void)post(share, share->held, share->held_bytes);
        return;
    }
    char note[SFL_CLI_SHARE_NOTE_MAX];
    int length = snprintf(note, sizeof(note),
                          "%ssingleflight: %" PRIu64 " more bytes of output were not shared\n",
                          share->ends_within_line ? "\n" : "", share->left_out_bytes);
    (void)post(share, note, (size_t)length);
}
