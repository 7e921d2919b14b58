// SPDX-License-Identifier: Apache-2.0
// One step of the server for one caller, and how it is encoded.
#ifndef SFL_TRANSPORT_REPLY_H
#define SFL_TRANSPORT_REPLY_H

#include "core/effect.h"
#include "rpc/schema.h"
#include "transport/message.h"

// In the order in which a caller is told what is pending at the same time.
enum sfl_reply_type {
    SFL_REPLY_FOLLOW,
    SFL_REPLY_RESTART,
    SFL_REPLY_CHUNK,
    SFL_REPLY_LEAD,
    SFL_REPLY_RENEWED,
    SFL_REPLY_AUDIENCE,
    SFL_REPLY_RESULT, // ends the call
    SFL_REPLY_END,    // ends the call with a status other than OK
};

struct sfl_reply_lead {
    struct sfl_lead lead;
    uint64_t silence_ms;
    uint64_t result_limit;
};

struct sfl_reply_follow {
    uint32_t attempt;
    uint64_t running_ms;
    struct sfl_bytes *leader; // a reference, or NULL
};

struct sfl_reply_restart {
    uint32_t attempt;
    struct sfl_bytes *leader; // a reference, or NULL
};

struct sfl_reply_chunk {
    struct sfl_span data;
    uint64_t sequence;
    uint32_t attempt;
    struct sfl_value *value; // a reference, which holds the data
};

// A result that many callers get: encoded once, with a value that is small enough to travel inside.
struct sfl_shared_result {
    atomic_uint references;
    struct sfl_outcome *outcome; // a reference
    struct sfl_bytes *encoded;   // the whole Result; a reference
};

// A result as a caller holds it.
struct sfl_told_result {
    struct sfl_result result;
    // A reference, which holds the outcome too; NULL: the reference is to the outcome itself.
    struct sfl_shared_result *shared;
};

struct sfl_reply_result {
    struct sfl_told_result told;
    // Where the caller is in the value, and how much of the rest travels inside the result.
    struct sfl_value_cursor cursor;
    uint64_t inline_bytes;
};

// Why a call ends without a result.
struct sfl_reply_end {
    struct sfl_refusal refusal; // with a reference to its name; reason NONE when the fault counts
    struct sfl_fault fault;     // INVALID_ARGUMENT
};

// References in a reply belong to whoever holds the reply.
struct sfl_reply {
    enum sfl_reply_type type;
    uint64_t id; // Session only
    union {
        struct sfl_reply_lead lead;
        uint64_t renewed_id;
        struct sfl_reply_follow follow;
        struct sfl_reply_chunk chunk;
        struct sfl_reply_restart restart;
        struct sfl_audience audience;
        struct sfl_reply_result result;
        struct sfl_reply_end end;
    };
};

// Appends the reply to the message, as a DoResponse or as one more frame of a SessionResponse, and
// takes its references. There must be room (sfl_message_has_room), and the whole must stay within
// SFL_MESSAGE_BYTES_MAX (sfl_reply_result_bytes). An END is not encoded into a DoResponse: it is
// the stream's status (sfl_reply_end_status).
void sfl_reply_put_do(struct sfl_message *message, struct sfl_reply *reply);
void sfl_reply_put_session(struct sfl_message *message, struct sfl_reply *reply);

// Sets the message's status to what an END says, and takes its references.
void sfl_reply_end_status(struct sfl_message *message, struct sfl_reply_end *end);

// The gRPC code of an END; `text_out` gets its text.
int sfl_reply_end_describe(const struct sfl_reply_end *end,
                           char text_out[static SFL_REFUSAL_TEXT_MAX]);

// Drops the references of an END, and of a RESULT.
void sfl_reply_end_release(struct sfl_reply_end *end);
void sfl_told_result_release(struct sfl_told_result *told);

// Takes references for `count` more holders of a RESULT.
void sfl_told_result_share(const struct sfl_told_result *told, unsigned count);

// True when all of the outcome's value (up to SFL_INLINE_VALUE_MAX) may travel inside `result`.
bool sfl_reply_value_is_inline(const struct sfl_outcome *outcome);

// At least the bytes that an encoded Result takes beside the value.
uint64_t sfl_reply_texts_bytes(const struct sfl_outcome *outcome);

// Encodes the Result that all callers of a batch get, an inline value included. Takes over the
// reference to the outcome; when there is no memory, returns NULL and does not.
struct sfl_shared_result *sfl_shared_result_create(const struct sfl_result *result);

#endif
