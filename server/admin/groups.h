// SPDX-License-Identifier: Apache-2.0
// The groups, as they were at one look, and how many calls each of them has in a second. Every
// shard of the daemon tells what it has of a group; here it is put together. Not thread-safe.
#ifndef SFL_ADMIN_GROUPS_H
#define SFL_ADMIN_GROUPS_H

#include "admin/sources.h"

enum {
    SFL_GROUPS_TOP = 100,        // so many are shown, those with the most callers first
    SFL_GROUPS_SEEN_MAX = 20000, // beyond this many, those with a quota or callers are kept
};

struct sfl_group_row {
    struct sfl_admin_group group; // its name stands behind it
    double joins_per_s;           // over about ten seconds
    uint8_t bytes[];
};

struct sfl_groups {
    uint64_t total;
    size_t top_count;
    const struct sfl_group_row *top[SFL_GROUPS_TOP];
    // The rest is private.
    uint64_t looked_ms;          // 0: never
    struct sfl_group_row **rows; // by name
    size_t count;
    struct sfl_group_row **next; // of the look that is under way
    size_t next_count;
    size_t next_capacity;
};

void sfl_groups_deinit(struct sfl_groups *groups); // a zeroed one is fine

// One look: any number of offers, of which several may be parts of the same group, then its end at
// `now_ms` of the monotonic clock. Until then the groups are those of the look before.
void sfl_groups_offer(struct sfl_groups *groups, const struct sfl_admin_group *group);
void sfl_groups_finish(struct sfl_groups *groups, uint64_t now_ms);

#endif
