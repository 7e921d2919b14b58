// SPDX-License-Identifier: Apache-2.0
// The rows of a list that somebody looks at. It sees every flight and run that there is, in any
// number, and keeps copies of those that stand in the window. Not thread-safe.
#ifndef SFL_ADMIN_WINDOW_H
#define SFL_ADMIN_WINDOW_H

#include "admin/query.h"

// So many bytes of rows a window keeps, and all of those that share `kept`; what would come after
// is counted and not shown. A longer key is cut, unless the query names its flight.
enum {
    SFL_WINDOW_BYTES_MAX = 8 << 20,
    SFL_WINDOWS_BYTES_MAX = 32 << 20,
    SFL_WINDOW_KEY_MAX = 1024,
};

// A copy with bytes of its own. A hidden one has neither key nor leader, nor a token or a detail.
struct sfl_flight_row {
    struct sfl_admin_flight flight;
    size_t key_size;   // of the whole key
    uint64_t key_hash; // of a key that is cut; not 0
    bool is_hidden;
    uint8_t bytes[];
};

struct sfl_run_row {
    struct sfl_admin_run run;
    size_t key_size; // of the whole key
    bool is_hidden;
    uint8_t bytes[];
};

// The best rows so far; the worst of them is at the top of a heap.
struct sfl_flights_window {
    const struct sfl_query *query; // borrowed
    uint64_t total;                // that the query asks for, wherever the window is
    struct sfl_flight_row **rows;
    size_t count;
    size_t capacity; // of `rows`
    size_t bytes;
    size_t *kept; // bytes of all windows, borrowed; NULL: this one stands alone
};

// In the order in which they are offered.
struct sfl_runs_window {
    const struct sfl_query *query; // borrowed
    uint64_t total;
    struct sfl_run_row *rows[SFL_QUERY_LIMIT_MAX];
    size_t count;
    size_t bytes;
    size_t *kept; // as above
};

void sfl_flights_window_init(struct sfl_flights_window *window, const struct sfl_query *query,
                             size_t *kept);
void sfl_flights_window_deinit(struct sfl_flights_window *window);

// Counts a flight, if the query asks for it, and copies it, if it is among the first ones so far.
// `is_hidden`: whoever looks may not see its key; then nothing is found by it either.
void sfl_flights_window_offer(struct sfl_flights_window *window,
                              const struct sfl_admin_flight *flight, bool is_hidden);

// After the last one: puts the rows in order. Those before the offset remain, at the beginning.
void sfl_flights_window_finish(struct sfl_flights_window *window);

// A number that is another one when the rows that are shown are others, beside that time has
// passed; `now_unix_ms` is of the wall clock.
uint64_t sfl_flights_window_mark(const struct sfl_flights_window *window, uint64_t now_unix_ms);
uint64_t sfl_runs_window_mark(const struct sfl_runs_window *window);

void sfl_runs_window_init(struct sfl_runs_window *window, const struct sfl_query *query,
                          size_t *kept);
void sfl_runs_window_deinit(struct sfl_runs_window *window);
void sfl_runs_window_offer(struct sfl_runs_window *window, const struct sfl_admin_run *run,
                           bool is_hidden);

#endif
