// SPDX-License-Identifier: Apache-2.0
// Answers on a Session to ids that have no call: refused joins, and steps for ids that never
// joined. They are bounded for the whole connection (connection.h), and a stream that would add to
// too many is not read until its peer has read some: so a peer that asks for too much is slowed,
// and loses nothing that it has.
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

// So many of each stream are not counted for the connection.
enum { SFL_STRAYS_FREE = 64 };

struct sfl_strays {
    struct sfl_list list;
    uint64_t count;
    struct sfl_connection *connection;
};

void sfl_strays_init(struct sfl_strays *strays, struct sfl_connection *connection);
void sfl_strays_deinit(struct sfl_strays *strays);

// Adds an END; `end` has no references. False when there is no memory.
bool sfl_strays_add(struct sfl_strays *strays, uint64_t id, const struct sfl_reply_end *end);

// True when no more should be added until some have been taken.
bool sfl_strays_are_many(const struct sfl_strays *strays);

// Takes the first one as a reply. False when there is none.
bool sfl_strays_take(struct sfl_strays *strays, struct sfl_reply *reply_out);

#endif
