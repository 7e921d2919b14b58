// SPDX-License-Identifier: Apache-2.0
#include "transport/spares.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    KEPT_MAX = 4096,
    BATCH = 32, // taken under one lock
};

void sfl_spares_init(struct sfl_spares *spares, size_t bytes)
{
    assert(bytes >= sizeof(struct sfl_spare));
    *spares = (struct sfl_spares){.bytes = bytes};
    pthread_mutex_init(&spares->lock, NULL);
}

static void free_all(struct sfl_spare *top)
{
    while (top != NULL) {
        struct sfl_spare *next = top->next;
        free(top);
        top = next;
    }
}

void sfl_spares_deinit(struct sfl_spares *spares)
{
    free_all(spares->top);
    pthread_mutex_destroy(&spares->lock);
}

static void pick_up(struct sfl_spares_hand *hand)
{
    struct sfl_spares *spares = hand->spares;
    pthread_mutex_lock(&spares->lock);
    while (spares->top != NULL && hand->count < BATCH) {
        struct sfl_spare *piece = spares->top;
        spares->top = piece->next;
        spares->count--;
        sfl_spares_give(hand, piece);
    }
    pthread_mutex_unlock(&spares->lock);
}

void *sfl_spares_take(struct sfl_spares_hand *hand)
{
    if (hand->top == NULL)
        pick_up(hand);
    struct sfl_spare *piece = hand->top;
    if (piece == NULL)
        return malloc(hand->spares->bytes);
    hand->top = piece->next;
    hand->count--;
    return piece;
}

void sfl_spares_give(struct sfl_spares_hand *hand, void *piece)
{
    struct sfl_spare *spare = piece;
    if (hand->top == NULL)
        hand->last = spare;
    spare->next = hand->top;
    hand->top = spare;
    hand->count++;
}

void sfl_spares_put_down(struct sfl_spares_hand *hand)
{
    struct sfl_spares *spares = hand->spares;
    if (hand->top == NULL)
        return;
    pthread_mutex_lock(&spares->lock);
    bool has_room = spares->count < KEPT_MAX;
    if (has_room) {
        hand->last->next = spares->top;
        spares->top = hand->top;
        spares->count += hand->count;
    }
    pthread_mutex_unlock(&spares->lock);
    if (!has_room)
        free_all(hand->top);
    hand->top = NULL;
    hand->count = 0;
}
