// SPDX-License-Identifier: Apache-2.0
#include "transport/losses.h"

#include "base/clock.h"
#include "transport/admit.h"
#include "transport/transport.h"

// Of one pump thread.
struct losses {
    struct sfl_pump_work work;
    struct sfl_transport *transport;
    struct sfl_list waiting;
    struct sfl_list due;  // their wait is over, and they are carried out in turns
    uint64_t first_ms;    // when the first of those that wait came
    uint64_t breaks;      // that had been noted when `work` last ran
    uint64_t last_ms;     // when it last found more of them, or a wait began
    uint64_t crowd_start; // `breaks` before those that break now, one soon after the other
};

static _Thread_local struct losses losses;

void sfl_losses_note_break(struct sfl_transport *transport)
{
    atomic_fetch_add_explicit(&transport->breaks, 1, memory_order_relaxed);
}

// Begins a wait. What broke long ago is of another crowd.
static void begin_wait(uint64_t now_ms)
{
    losses.first_ms = now_ms;
    losses.breaks = atomic_load_explicit(&losses.transport->breaks, memory_order_relaxed);
    if (now_ms - losses.last_ms > SFL_LOSS_CROWD_GAP_MS)
        losses.crowd_start = losses.breaks;
    losses.last_ms = now_ms;
}

static void end_wait_if_quiet(void)
{
    uint64_t now_ms = sfl_clock_now_ms();
    uint64_t breaks = atomic_load_explicit(&losses.transport->breaks, memory_order_relaxed);
    bool has_more = breaks != losses.breaks;
    losses.breaks = breaks;
    if (has_more)
        losses.last_ms = now_ms;
    // Of a crowd, more may be on their way to a thread that does not run just now.
    bool is_crowd = breaks - losses.crowd_start >= SFL_LOSS_CROWD;
    bool is_quiet =
        is_crowd ? now_ms - losses.last_ms >= SFL_LOSS_WAIT_MS : !has_more && sfl_pump_is_drained();
    bool is_reload = sfl_admit_is_reloading(losses.transport);
    uint64_t wait_max_ms = is_crowd || is_reload ? SFL_LOSS_CROWD_WAIT_MS : SFL_LOSS_WAIT_MS;
    if ((is_quiet && !is_reload) || now_ms - losses.first_ms >= wait_max_ms)
        sfl_list_append_all(&losses.due, &losses.waiting);
}

static void on_turn(struct sfl_pump_work *work)
{
    end_wait_if_quiet();
    struct sfl_link *link = NULL;
    while ((link = sfl_list_pop(&losses.due)) != NULL) {
        struct sfl_lost *loss = SFL_CONTAINER_OF(link, struct sfl_lost, link);
        loss->lose(loss);
        if (sfl_pump_should_yield())
            break;
    }
    // Between two turns the pump looks at the sockets.
    if (!sfl_list_is_empty(&losses.due) || !sfl_list_is_empty(&losses.waiting))
        sfl_pump_defer_crowd(work);
}

void sfl_losses_go_on(struct sfl_lost *loss)
{
    sfl_list_append(&losses.due, &loss->link);
    sfl_pump_defer_crowd(&losses.work);
}

void sfl_losses_add(struct sfl_transport *transport, struct sfl_lost *loss)
{
    if (losses.work.run == NULL) {
        losses.work.run = on_turn;
        sfl_list_init(&losses.waiting);
        sfl_list_init(&losses.due);
    }
    losses.transport = transport;
    if (sfl_list_is_empty(&losses.waiting))
        begin_wait(sfl_clock_now_ms());
    sfl_list_append(&losses.waiting, &loss->link);
    sfl_pump_defer_crowd(&losses.work);
}
