// SPDX-License-Identifier: Apache-2.0
// Leaders whose stream broke, or who have lost their right.
//
// A connection that dies with many callers tells their ends one after the other. Who leads among
// them must not hand over to one whose end is about to come: that would be a chain of promotions as
// long as the line, each with a message that goes nowhere. So a lost leader waits until a look at
// the sockets has brought no further broken stream, or for SFL_LOSS_WAIT_MS. Where a crowd breaks,
// the ends may be on their way to another thread: then it waits until none has come for as long as
// that, or for SFL_LOSS_CROWD_WAIT_MS. While a reload of the rights is under way, others may be
// about to lose theirs: then it waits until that is over, no longer than a crowd. Followers leave
// at once.
#ifndef SFL_TRANSPORT_LOSSES_H
#define SFL_TRANSPORT_LOSSES_H

#include "base/list.h"

enum {
    SFL_LOSS_WAIT_MS = 20,
    SFL_LOSS_CROWD = 32, // that break with less than SFL_LOSS_CROWD_GAP_MS between two of them
    SFL_LOSS_CROWD_GAP_MS = 100,
    SFL_LOSS_CROWD_WAIT_MS = 500,
};

struct sfl_transport;

// Embedded in what holds the leaders; stays until `lose` is called.
struct sfl_lost {
    struct sfl_link link;
    void (*lose)(struct sfl_lost *loss);
};

// Every stream that breaks is noted, whoever its callers are. Any thread.
void sfl_losses_note_break(struct sfl_transport *transport);

// Has `lose` called on this pump thread, soon. On a pump thread only.
void sfl_losses_add(struct sfl_transport *transport, struct sfl_lost *loss);

// From `lose`: it has more to do than fits into a turn, and is to be called again in another one.
void sfl_losses_go_on(struct sfl_lost *loss);

#endif
