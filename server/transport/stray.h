// SPDX-License-Identifier: Apache-2.0
// Answers on a Session to ids that have no call: refused joins, and steps for ids that never
// joined.
#ifndef SFL_TRANSPORT_STRAY_H
#define SFL_TRANSPORT_STRAY_H

#include "base/list.h"
#include "transport/reply.h"

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
