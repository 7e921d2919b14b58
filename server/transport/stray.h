// SPDX-License-Identifier: Apache-2.0
// Answers on a Session to ids that have no call: refused joins, and steps for ids that never
// joined.
#ifndef SFL_TRANSPORT_STRAY_H
#define SFL_TRANSPORT_STRAY_H

#include "base/list.h"
#include "transport/reply.h"

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

// An END that waits to be sent.
struct sfl_stray {
    struct sfl_link link;
    uint64_t id;
    struct sfl_reply_end end;
};

struct sfl_strays {
    struct sfl_list list;
    uint64_t count;
};

void sfl_strays_init(struct sfl_strays *strays);
void sfl_strays_deinit(struct sfl_strays *strays);

// Adds an END; `end` has no references. False when there is no memory.
bool sfl_strays_add(struct sfl_strays *strays, uint64_t id, const struct sfl_reply_end *end);

// Takes the first one as a reply. False when there is none.
bool sfl_strays_take(struct sfl_strays *strays, struct sfl_reply *reply_out);

#endif
