// SPDX-License-Identifier: Apache-2.0
// Private to server/transport: what the files of a Session share. session.c has what comes in and
// goes out, session_calls.c the table of its calls, session_leaving.c how they end.
#ifndef SFL_TRANSPORT_SESSION_PRIVATE_H
#define SFL_TRANSPORT_SESSION_PRIVATE_H

#include "transport/admit.h"
#include "transport/call.h"
#include "transport/losses.h"
#include "transport/session_ids.h"
#include "transport/stray.h"
#include "transport/transport.h"

struct sfl_session {
    struct sfl_outbox outbox;
    struct sfl_connection *connection;
    struct sfl_admit admit;
    // The stream's thread alone.
    struct sfl_ids ids;
    struct sfl_index index;  // its calls, by id, until they are put away
    struct sfl_list calls;   // the same, in the order of their joins
    struct sfl_list unaware; // those of them that are still to learn of the half-close
    struct sfl_list leaders; // those of them whose turn comes last
    uint64_t joined_count;
    uint64_t counted;          // of its calls, by the transport
    unsigned part;             // in which they are counted, see under_way.h
    struct sfl_bytes *held;    // a message whose rest waits; reading is paused meanwhile
    size_t held_from;          // where the rest begins
    bool is_over;              // a message could not be read
    bool is_leaving;           // all calls leave
    bool is_closed;            // nothing comes of the stream any more
    enum sfl_reason reason;    // why they leave
    bool broken;               // and whether leases outlive it
    bool has_turn;             // `turn` is on its way
    bool waits_for_others;     // its leaders do, see losses.h
    bool is_denied;            // others of the same caller may be about to leave, too
    bool has_revoked;          // `revoked` is on its way
    struct sfl_pump_work turn; // in which calls leave, or learn of the half-close
    struct sfl_lost loss;
    struct sfl_lost revoked;      // in which the leaders of the next two end
    struct sfl_list lost_leaders; // that have lost the right to lead
    struct sfl_list lost_doers;   // that have lost the right to do
    // Under the outbox's lock.
    struct sfl_list ended;    // calls whose last word has been taken, to be put away
    uint64_t ended_count;     // of all calls ever
    struct sfl_strays strays; // answers to ids without a call
    bool is_half_closed;      // joined_count grows no more
};

// --- the table of calls, on the stream's thread ---

// The call with this id; NULL when it has none or has been put away.
struct sfl_call *sfl_session_find(const struct sfl_session *session, uint64_t id);

// A new call in the table; NULL when there is no memory.
struct sfl_call *sfl_session_add(struct sfl_session *session, uint64_t id);

// Takes a call that has been detached out of the table. That there is one less, the connection and
// the transport are told for many at once.
void sfl_session_put_away(struct sfl_session *session, struct sfl_call *call);

// Tells the transport that so many are this session's calls now.
void sfl_session_count(struct sfl_session *session, uint64_t count);

// A message that is held counts as a call, until its calls do.
uint64_t sfl_session_calls_now(const struct sfl_session *session);

// Puts the calls away that have had their last word.
void sfl_session_put_ended_away(struct sfl_session *session);

// --- how calls end, on the stream's thread ---

// True when the call leads now; it may change at any time.
bool sfl_session_leads(const struct sfl_session *session, const struct sfl_call *call);

// What is to be done for every call goes on in another turn of this pump thread.
void sfl_session_defer_turn(struct sfl_session *session);

// Gives up what is left of a message.
void sfl_session_drop_held(struct sfl_session *session);

// Every call leaves for this reason, the leaders last; once.
void sfl_session_leave_all(struct sfl_session *session, enum sfl_reason reason, bool broken);

// The same in further turns. Those that have had their last word take no notice.
void sfl_session_go_on_leaving(struct sfl_session *session);

// Its leaders' turn among all that are lost has come.
void sfl_session_on_loss(struct sfl_lost *loss);

// Those of `unaware` learn of the half-close, in turns.
void sfl_session_go_on_half_closing(struct sfl_session *session);

#endif
