// SPDX-License-Identifier: Apache-2.0
// Where flights live: in pages of 15, so that flights are found, freed and timed without touching
// any other flight. A page is one of the processor's, with a head: a flight's address tells where
// the head is, and once the processor has found the one, the other is not far.
//
// The timing wheel knows pages, not flights: a page is armed for a time at or before the earliest
// deadline of its flights. A deadline that goes away costs nothing then; the page notices when its
// time comes. Pages are cut from chunks that grow with the table, and a chunk goes back to the
// allocator with its last flight; one empty chunk is kept.
#ifndef SFL_CORE_PAGES_H
#define SFL_CORE_PAGES_H

#include "base/counter.h"
#include "core/flight.h"

enum { SFL_PAGE_BYTES = 4096, SFL_PAGE_FLIGHTS = 15 };

struct sfl_chunk_of_pages;

struct sfl_page {
    struct sfl_deadline deadline;
    struct sfl_chunk_of_pages *chunk;
    struct sfl_link in_open; // linked when there is room for a flight
    unsigned used;           // a bit for each flight
    _Alignas(sizeof(struct sfl_flight)) struct sfl_flight flights[SFL_PAGE_FLIGHTS];
};
_Static_assert(sizeof(struct sfl_page) == SFL_PAGE_BYTES, "a page is found by a flight's address");

struct sfl_pages {
    const struct sfl_allocator *allocator;
    struct sfl_deadlines *wheel;
    struct sfl_list open;             // pages that have room; the last one is taken first
    struct sfl_chunk_of_pages *spare; // the chunk that is empty and kept
    struct sfl_chunk_of_pages *newest;
    uint64_t page_count;
};

// Both are borrowed.
void sfl_pages_init(struct sfl_pages *pages, const struct sfl_allocator *allocator,
                    struct sfl_deadlines *wheel);

// All flights must have been given back.
void sfl_pages_deinit(struct sfl_pages *pages);

// Room for a flight, not cleared; NULL when there is no memory.
struct sfl_flight *sfl_pages_take(struct sfl_pages *pages);

void sfl_pages_give(struct sfl_pages *pages, struct sfl_flight *flight);

static inline struct sfl_page *sfl_page_of(struct sfl_flight *flight)
{
    return (struct sfl_page *)((uintptr_t)flight & ~(uintptr_t)(SFL_PAGE_BYTES - 1));
}

// Sets or moves the flight's deadline. To disarm it, set its due_ms to UINT64_MAX.
void sfl_flight_arm(struct sfl_pages *pages, struct sfl_flight *flight, uint64_t at_ms);

// The time of a page has come: takes one flight that is due at `now_ms`, disarmed, or NULL, and
// arms the page for the next one.
struct sfl_flight *sfl_page_take_due(struct sfl_pages *pages, struct sfl_page *page,
                                     uint64_t now_ms);

#endif
