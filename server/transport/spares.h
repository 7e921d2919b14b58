// SPDX-License-Identifier: Apache-2.0
// Memory of Session calls that have ended, kept for those that come: they come and go in messages
// of many, more at once than malloc keeps at hand. A piece is malloc's in any case, so it may also
// be freed.
#ifndef SFL_TRANSPORT_SPARES_H
#define SFL_TRANSPORT_SPARES_H

#include <pthread.h>
#include <stddef.h>

struct sfl_spare {
    struct sfl_spare *next;
};

// For all streams together. Any thread.
struct sfl_spares {
    size_t bytes; // of a piece
    pthread_mutex_t lock;
    struct sfl_spare *top; // under the lock
    size_t count;
};

void sfl_spares_init(struct sfl_spares *spares, size_t bytes);

// Every hand must be empty.
void sfl_spares_deinit(struct sfl_spares *spares);

// What one stream holds of them while it handles a message, so that the lock is taken once for
// many. One thread at a time.
struct sfl_spares_hand {
    struct sfl_spares *spares;
    struct sfl_spare *top;
    struct sfl_spare *last; // when there is a top
    size_t count;
};

// A piece, not cleared; NULL when there is no memory.
void *sfl_spares_take(struct sfl_spares_hand *hand);

// The opposite.
void sfl_spares_give(struct sfl_spares_hand *hand, void *piece);

// Gives back what is in the hand, which is empty then.
void sfl_spares_put_down(struct sfl_spares_hand *hand);

#endif
