// SPDX-License-Identifier: Apache-2.0
#include "bench/load/ticker.h"

#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>

struct ticker {
    grpc_call *call; // goes nowhere; a batch without operations on it is done at once
    struct load_tag tag;
    uint64_t next_ns;
    uint64_t period_ns;
};

static void on_tick(void *owner, bool ok)
{
    (void)owner;
    (void)ok;
}

static void sleep_until(uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / 1000000000U), (long)(until_ns % 1000000000U)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

static void *tick(void *context)
{
    struct ticker *ticker = context;
    // The kernel may let threads sleep 50 us longer than they asked for.
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    for (;;) {
        sleep_until(ticker->next_ns);
        load_start(ticker->call, NULL, 0, &ticker->tag);
        uint64_t now_ns = load_now_ns();
        // One wake stands for those that this thread came too late for.
        do {
            ticker->next_ns += ticker->period_ns;
        } while (ticker->next_ns <= now_ns);
    }
    return NULL;
}

void load_ticker_start(struct load_link *link, uint64_t start_ns, uint64_t period_ns)
{
    struct ticker *ticker = load_calloc(1, sizeof *ticker);
    grpc_channel *lame =
        grpc_lame_client_channel_create("nowhere", GRPC_STATUS_UNAVAILABLE, "for wakes alone");
    ticker->call = grpc_channel_create_call(lame, NULL, GRPC_PROPAGATE_DEFAULTS, link->queue,
                                            grpc_slice_from_static_string("/wake"), NULL,
                                            gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    ticker->tag = (struct load_tag){on_tick, ticker};
    ticker->next_ns = start_ns;
    ticker->period_ns = period_ns;
    pthread_t thread;
    if (pthread_create(&thread, NULL, tick, ticker) != 0)
        load_die("no more threads");
    pthread_detach(thread);
}
