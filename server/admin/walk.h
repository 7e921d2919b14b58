// SPDX-License-Identifier: Apache-2.0
// Walks over all flights, runs and groups for those who look at them. One walk serves all who ask
// until it begins. It goes in turns of a few milliseconds, so that the loop does its other work in
// time, and rests after it for longer than it took; what it holds locks for is copying alone.
#ifndef SFL_ADMIN_WALK_H
#define SFL_ADMIN_WALK_H

#include "admin/groups.h"
#include "admin/viewer.h"
#include "admin/window.h"
#include "base/list.h"

#include <uv.h>

// What somebody wants to see. Borrowed until `on_done`, which is told when all has been offered, or
// until it is cancelled.
struct sfl_look {
    struct sfl_link link;               // the walk's
    const struct sfl_viewer *viewer;    // NULL: only when neither of the next two is wanted
    struct sfl_flights_window *flights; // NULL: none are wanted
    struct sfl_runs_window *runs;       // NULL: none are wanted
    void (*on_done)(struct sfl_look *look);
};

enum sfl_walk_part {
    SFL_WALK_FLIGHTS,
    SFL_WALK_RUNS,
    SFL_WALK_GROUPS,
    SFL_WALK_TELLING, // one look after the other
    SFL_WALK_OVER,
};

struct sfl_walk_batch; // rows that were copied under a lock

// All of it is private but for `groups`.
struct sfl_walk {
    const struct sfl_admin_sources *sources;
    uv_timer_t timer;
    struct sfl_list waiting; // looks that the next walk serves
    struct sfl_list served;  // by the walk that is under way
    enum sfl_walk_part part;
    struct sfl_admin_cursor cursor;
    struct sfl_walk_batch *batch;
    uint64_t took_ns;       // of the loop's time so far
    uint64_t rest_until_ms; // before that no walk begins
    struct sfl_groups groups;
};

// False when there is no memory. `sources` is borrowed.
bool sfl_walk_init(struct sfl_walk *walk, uv_loop_t *loop, const struct sfl_admin_sources *sources);

// After that nobody is told anything. The timer's handle, whose data is whatever the owner likes
// meanwhile, is closed by the owner.
void sfl_walk_deinit(struct sfl_walk *walk);

// Everybody who looks sees groups, too, in `groups`.
void sfl_walk_add(struct sfl_walk *walk, struct sfl_look *look);

// Harmless when it has been told already.
void sfl_walk_cancel(struct sfl_look *look);

#endif
