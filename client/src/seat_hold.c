// SPDX-License-Identifier: Apache-2.0
// The lead by the clock. A lead holds for so long from the moment at which a renewal was written
// that the server has answered since (or the join, or the resume); an older server answers none,
// and then what the transport has taken counts. The clock goes on while the process or the machine
// sleeps, so a program that asks gets the truth at any moment. When the time is over, the function
// is told; but who was paused beyond the end asks the server first, for nobody may have wanted the
// key meanwhile.
#include "src/seat_private.h"

#include "src/constants.h"

#include <assert.h>
#include <stdio.h>

// All leads are looked at together, and not again so soon.
#define LOOK_MS_MIN 20

// ------------------------------------------------------------------------------------- the timer

static void look_again(struct singleflight_client *client, uint64_t at_ms)
{
    if (!client->hold_timer.armed || at_ms < client->hold_timer.at_ms)
        sfl_timers_arm(&client->timers, &client->hold_timer, at_ms);
}

// Nobody needs to be told of an end: the function has not begun, or it has ended and its outcome is
// on its way, as long as the stream is not found broken.
static bool is_endless(const struct sfl_seat *seat)
{
    return seat->state == SFL_SEAT_CONFIRMING ||
           (seat->state == SFL_SEAT_FINISHING && seat->answered);
}

static uint64_t next_look_ms(const struct sfl_seat *seat)
{
    const struct sfl_hold *hold = &seat->hold;
    if (is_endless(seat))
        return hold->renew_at_ms;
    uint64_t next_ms = hold->told_at_ms == UINT64_MAX ? hold->until_ms : hold->told_at_ms;
    return hold->renew_at_ms < next_ms ? hold->renew_at_ms : next_ms;
}

// ------------------------------------------------------------------------------------- the hold

// With fail_open the function goes on to its end, whatever becomes of the lead.
void sfl_seat_hold_show(struct sfl_seat *seat)
{
    if (seat->leader != NULL && seat->hold.hold_ms != 0 && !seat->join->options.fail_open)
        atomic_store(&seat->leader->holds_until_ms, seat->hold.until_ms);
}

// It holds from `from_ms` on. That grows with each answer, but a server may say a shorter time.
static void set_hold(struct sfl_seat *seat, uint64_t from_ms)
{
    struct sfl_hold *hold = &seat->hold;
    hold->until_ms = from_ms + hold->hold_ms;
    if (sfl_clock_boot_ms() < hold->until_ms)
        hold->told_at_ms = UINT64_MAX;
    sfl_seat_hold_show(seat);
}

static void renew(struct sfl_seat *seat, uint64_t now_ms)
{
    seat->hold.renew_at_ms = now_ms + seat->hold.hold_ms / SFL_RENEWALS_PER_HOLD;
    seat->wants_renew = true;
    sfl_session_ready(seat->session, seat);
}

bool sfl_seat_hold_begin(struct sfl_seat *seat, uint64_t silence_ms)
{
    struct sfl_hold *hold = &seat->hold;
    uint64_t renew_id = hold->renew_id; // ids grow on a call
    sfl_link_remove(&hold->link);
    *hold = (struct sfl_hold){.told_at_ms = UINT64_MAX, .renew_at_ms = UINT64_MAX};
    hold->renew_id = renew_id;
    hold->is_answered = silence_ms != 0;
    hold->said_ms = hold->is_answered ? silence_ms : seat->terms.lease_ms;
    hold->hold_ms = hold->said_ms;
    if (hold->hold_ms == 0)
        return true;
    sfl_list_append(&seat->client->holds, &hold->link);
    // What answers no renewals grants the lease from now on; a follower has waited for long.
    uint64_t from_ms = hold->is_answered ? seat->joined_ms : sfl_clock_boot_ms();
    uint64_t period_ms = hold->hold_ms / SFL_RENEWALS_PER_HOLD;
    set_hold(seat, from_ms);
    hold->renew_at_ms = from_ms + period_ms;
    uint64_t now_ms = sfl_clock_boot_ms();
    bool is_new = !hold->is_answered || now_ms <= hold->renew_at_ms;
    if (!is_new)
        renew(seat, now_ms);
    look_again(seat->client, next_look_ms(seat));
    return is_new;
}

void sfl_seat_hold_renewed(struct sfl_seat *seat, const struct sfl_answer_renewed *renewed)
{
    struct sfl_hold *hold = &seat->hold;
    bool is_open = hold->is_answered && renewed->id <= hold->renew_id &&
                   renewed->id + SFL_HOLD_OPEN_MAX > hold->renew_id;
    if (!is_open)
        return;
    hold->hold_ms = renewed->silence_ms != 0 ? renewed->silence_ms : hold->said_ms;
    uint64_t sent_ms = hold->sent_ms[renewed->id % SFL_HOLD_OPEN_MAX];
    uint64_t renew_at_ms = sent_ms + hold->hold_ms / SFL_RENEWALS_PER_HOLD;
    set_hold(seat, sent_ms);
    if (renew_at_ms < hold->renew_at_ms)
        hold->renew_at_ms = renew_at_ms;
    look_again(seat->client, next_look_ms(seat));
}

void sfl_seat_hold_break(struct sfl_seat *seat)
{
    struct sfl_hold *hold = &seat->hold;
    hold->renew_at_ms = UINT64_MAX;
    hold->in_message = 0;
    seat->wants_renew = false;
    // An outcome is worth a try for as long as a lead would be.
    if (seat->state == SFL_SEAT_FINISHING)
        hold->told_at_ms = sfl_clock_boot_ms() + hold->hold_ms;
    look_again(seat->client, next_look_ms(seat));
}

void sfl_seat_hold_end(struct sfl_seat *seat)
{
    sfl_link_remove(&seat->hold.link);
    seat->hold.hold_ms = 0;
    seat->wants_renew = false;
}

enum sfl_status sfl_seat_add_renew(struct sfl_seat *seat, struct sfl_frames *frames)
{
    struct sfl_hold *hold = &seat->hold;
    seat->wants_renew = false;
    uint64_t id = hold->is_answered ? ++hold->renew_id : 0;
    hold->sent_ms[id % SFL_HOLD_OPEN_MAX] = seat->session->outbox_since_ms;
    hold->in_message = seat->session->messages_handed + 1;
    return sfl_frames_add_renew(frames, seat->id, id);
}

// ------------------------------------------------------------------------------------- the look

// An older server answers none: what the transport has taken counts.
static void settle_unanswered(struct sfl_seat *seat)
{
    struct sfl_hold *hold = &seat->hold;
    if (hold->is_answered || hold->in_message == 0 || seat->session == NULL ||
        seat->session->messages_sent < hold->in_message)
        return;
    hold->in_message = 0;
    set_hold(seat, hold->sent_ms[0]);
}

static bool was_paused_at(const struct singleflight_client *client, uint64_t at_ms)
{
    return client->pause_from_ms <= at_ms && at_ms <= client->pause_to_ms;
}

// The end has come. Who slept through it asks.
static void on_end(struct sfl_seat *seat, uint64_t now_ms)
{
    struct sfl_hold *hold = &seat->hold;
    bool is_first = hold->told_at_ms == UINT64_MAX;
    if (is_first && was_paused_at(seat->client, hold->until_ms)) {
        uint64_t ask_ms = hold->hold_ms < SFL_ASK_MS_MAX ? hold->hold_ms : SFL_ASK_MS_MAX;
        hold->told_at_ms = now_ms + ask_ms;
        if (seat->answered)
            renew(seat, now_ms);
        return;
    }
    char why[SFL_SEAT_WHY_SIZE];
    snprintf(why, sizeof(why), "the lead is lost: %s has answered nothing for %llu ms%s",
             seat->server->address, (unsigned long long)(now_ms - (hold->until_ms - hold->hold_ms)),
             seat->terms.lease_ms != 0 ? ", and the lease ran out" : "");
    sfl_seat_run_out(seat, why);
}

// May be gone after it.
static void look(struct sfl_seat *seat, uint64_t now_ms)
{
    struct sfl_hold *hold = &seat->hold;
    settle_unanswered(seat);
    uint64_t end_ms = hold->told_at_ms == UINT64_MAX ? hold->until_ms : hold->told_at_ms;
    if (now_ms >= end_ms && !is_endless(seat)) {
        on_end(seat, now_ms);
        return;
    }
    if (seat->answered && now_ms >= hold->renew_at_ms)
        renew(seat, now_ms);
}

static struct sfl_seat *seat_of(struct sfl_link *link)
{
    return SFL_CONTAINER_OF(link, struct sfl_seat, hold.link);
}

void sfl_seat_on_hold_timer(struct sfl_timer *timer)
{
    struct singleflight_client *client =
        SFL_CONTAINER_OF(timer, struct singleflight_client, hold_timer);
    uint64_t now_ms = sfl_clock_boot_ms();
    uint64_t next_ms = UINT64_MAX;
    // One that ends takes itself off, and no other.
    struct sfl_link *next = NULL;
    for (struct sfl_link *at = sfl_list_first(&client->holds); at != NULL; at = next) {
        next = sfl_list_next(&client->holds, at);
        if (next_look_ms(seat_of(at)) <= now_ms)
            look(seat_of(at), now_ms);
    }
    for (struct sfl_link *at = sfl_list_first(&client->holds); at != NULL;
         at = sfl_list_next(&client->holds, at)) {
        uint64_t look_ms = next_look_ms(seat_of(at));
        next_ms = look_ms < next_ms ? look_ms : next_ms;
    }
    if (next_ms != UINT64_MAX)
        look_again(client, next_ms < now_ms + LOOK_MS_MIN ? now_ms + LOOK_MS_MIN : next_ms);
}
