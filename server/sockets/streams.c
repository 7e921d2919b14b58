// SPDX-License-Identifier: Apache-2.0
#include "sockets/streams_private.h"

#include <stdlib.h>

#define SLOTS_MIN 64
#define SLOTS_KEPT 4096 // a table up to this size does not shrink

// Numbers are 1, 3, 5, …; with a secret factor they scatter, whichever of them are open.
static uint32_t place_of(const struct sfl_http2_streams *streams, uint32_t number,
                         uint32_t slot_count)
{
    return (uint32_t)(((uint64_t)number * (streams->seed | 1)) >> 32) & (slot_count - 1);
}

void sfl_http2_streams_deinit(struct sfl_http2_streams *streams)
{
    free(streams->slots);
    streams->slots = NULL;
    streams->slot_count = 0;
    streams->count = 0;
}

static struct sfl_http2_stream *slot_for(const struct sfl_http2_streams *streams,
                                         struct sfl_http2_stream *slots, uint32_t slot_count,
                                         uint32_t number)
{
    uint32_t place = place_of(streams, number, slot_count);
    while (slots[place].number != 0 && slots[place].number != number)
        place = (place + 1) & (slot_count - 1);
    return &slots[place];
}

struct sfl_http2_stream *sfl_http2_streams_find(const struct sfl_http2_streams *streams,
                                                uint32_t number)
{
    if (streams->count == 0 || number == 0)
        return NULL;
    struct sfl_http2_stream *slot = slot_for(streams, streams->slots, streams->slot_count, number);
    return slot->number == number ? slot : NULL;
}

static bool resize(struct sfl_http2_streams *streams, uint32_t slot_count)
{
    struct sfl_http2_stream *slots = calloc(slot_count, sizeof(slots[0]));
    if (slots == NULL)
        return false;
    for (uint32_t i = 0; i < streams->slot_count; i++) {
        uint32_t number = streams->slots[i].number;
        if (number != 0)
            *slot_for(streams, slots, slot_count, number) = streams->slots[i];
    }
    free(streams->slots);
    streams->slots = slots;
    streams->slot_count = slot_count;
    return true;
}

bool sfl_http2_streams_add(struct sfl_http2_streams *streams, uint32_t number)
{
    if (streams->count * 2 >= streams->slot_count) {
        uint32_t slot_count = streams->slot_count == 0 ? SLOTS_MIN : streams->slot_count * 2;
        if (!resize(streams, slot_count))
            return false;
    }
    struct sfl_http2_stream *slot = slot_for(streams, streams->slots, streams->slot_count, number);
    *slot = (struct sfl_http2_stream){.number = number};
    streams->count++;
    return true;
}

void sfl_http2_streams_remove(struct sfl_http2_streams *streams, struct sfl_http2_stream *stream)
{
    uint32_t mask = streams->slot_count - 1;
    uint32_t hole = (uint32_t)(stream - streams->slots);
    // Those behind it that are not in their place because of it move up.
    for (uint32_t i = (hole + 1) & mask; streams->slots[i].number != 0; i = (i + 1) & mask) {
        uint32_t wanted = place_of(streams, streams->slots[i].number, streams->slot_count);
        if (((i - wanted) & mask) < ((i - hole) & mask))
            continue;
        streams->slots[hole] = streams->slots[i];
        hole = i;
    }
    streams->slots[hole].number = 0;
    streams->count--;
    // Nothing is kept of a storm; if there is no memory, it stays as it is.
    if (streams->slot_count > SLOTS_KEPT && streams->count * 16 < streams->slot_count)
        resize(streams, streams->slot_count / 4);
}
