// SPDX-License-Identifier: Apache-2.0
// Which ids have joined on a Session.
#ifndef SFL_TRANSPORT_SESSION_IDS_H
#define SFL_TRANSPORT_SESSION_IDS_H

#include <stdbool.h>
#include <stdint.h>

// Which ids of a stream have joined, in bounded memory: the greatest, and the latest gaps below it.
// A step for an id in an older gap than these is taken for one of a call that has ended.
enum { SFL_GAPS_MAX = 64 };

struct sfl_ids {
    bool any;
    uint64_t greatest;
    unsigned gap_count; // of all gaps ever; the latest SFL_GAPS_MAX are known
    struct {
        uint64_t first;
        uint64_t last;
    } gaps[SFL_GAPS_MAX];
};

// True when a join may have this id.
bool sfl_ids_may_join(const struct sfl_ids *ids, uint64_t id);

// Notes a join.
void sfl_ids_join(struct sfl_ids *ids, uint64_t id);

// False when no join had this id.
bool sfl_ids_have_joined(const struct sfl_ids *ids, uint64_t id);

#endif
