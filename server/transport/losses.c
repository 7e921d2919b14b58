// SPDX-License-Identifier: Apache-2.0
#include "transport/losses.h"

#include "base/clock.h"
#include "transport/transport.h"

// Of one pump thread.
struct losses {
    struct sfl_pump_work work;
    struct sfl_transport *transport;
    struct sfl_list waiting;
    struct sfl_list due; // their wait is over, and they are carried out in turns
    uint64_t due_ms;     // of those that wait
    uint64_t breaks;     // that had been noted when `work` last ran
};

static _Thread_local struct losses losses;

void sfl_losses_note_break(struct sfl_transport *transport)
{
    atomic_fetch_add_explicit(&transport->breaks, 1, memory_order_relaxed);
}

static void end_wait_if_quiet(void)
{
    uint64_t breaks = atomic_load_explicit(&losses.transport->breaks, memory_order_relaxed);
    bool is_quiet = breaks == losses.breaks && sfl_pump_is_drained();
    losses.breaks = breaks;
    if (is_quiet || sfl_clock_now_ms() >= losses.due_ms)
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

void sfl_losses_add(struct sfl_transport *transport, struct sfl_lost *loss)
{
    if (losses.work.run == NULL) {
        losses.work.run = on_turn;
        sfl_list_init(&losses.waiting);
        sfl_list_init(&losses.due);
    }
    if (sfl_list_is_empty(&losses.waiting))
        losses.due_ms = sfl_clock_now_ms() + SFL_LOSS_WAIT_MS;
    losses.transport = transport;
    sfl_list_append(&losses.waiting, &loss->link);
    sfl_pump_defer_crowd(&losses.work);
}
