// SPDX-License-Identifier: Apache-2.0
// The steps of callers: from bytes to checked requests, with nothing of gRPC in it.
#ifndef SFL_TRANSPORT_DECODE_H
#define SFL_TRANSPORT_DECODE_H

#include "core/event.h"
#include "rpc/schema.h"

enum sfl_request_type {
    SFL_REQUEST_NONE, // no step, or one that is not known; never without a fault
    SFL_REQUEST_JOIN,
    SFL_REQUEST_CHUNK,
    SFL_REQUEST_RENEW,
    SFL_REQUEST_FINISH,
    SFL_REQUEST_CANCEL, // Session only
};

// The outcome as it stands in `finish`.
struct sfl_posted_outcome {
    int kind; // any number: the core checks it
    int32_t code;
    struct sfl_span value;
    struct sfl_span message;
    struct sfl_span type;
    struct sfl_span stack;
    struct sfl_span details;
};

struct sfl_posted_finish {
    struct sfl_posted_outcome outcome;
    bool has_retention;
    bool pass_on;
    uint64_t retention_ms;
};

// One step. Spans are borrowed from the message.
struct sfl_request {
    uint64_t id;         // Session only
    uint64_t timeout_ms; // Session only, with join; 0 = none
    int type;            // enum sfl_request_type
    struct sfl_fault fault;
    union {
        struct sfl_join join; // without its deadline
        struct sfl_chunk chunk;
        struct sfl_posted_finish finish;
        struct sfl_renew renew;
    };
    struct sfl_span traceparent;                // of a join, as it came
    struct sfl_lead_ref within[SFL_WITHIN_MAX]; // what join.within points to
};

// Reads a DoRequest. False when it is malformed; `request_out->fault` then says so. True otherwise;
// then the caller looks at the fault (bad UTF-8, an unknown enum value, no known step) before
// anything else.
bool sfl_decode_do(struct sfl_span message, struct sfl_request *request_out);

// Takes the next frame off the front of a SessionRequest; `rest` starts as the whole message. False
// at its end, and when it is malformed: then the fault is set. A request's own fault, with `true`,
// concerns that call alone.
bool sfl_decode_session_next(struct sfl_span *rest, struct sfl_request *request_out);

// Encodes code, message, type, stack and details of an outcome as they stand in the message
// Outcome. *texts_out is NULL when all of them are empty, otherwise a reference that the caller
// owns. False when there is no memory.
bool sfl_encode_texts(const struct sfl_posted_outcome *outcome, struct sfl_bytes **texts_out);

// Code and message of encoded texts (NULL: none). The span is borrowed from them.
void sfl_read_texts(const struct sfl_bytes *texts, int32_t *code_out, struct sfl_span *message_out);

// The name under which "" goes.
struct sfl_span sfl_group_or_default(struct sfl_span group);

// The tables, for the test that compares them with the proto file.
extern const struct sfl_schema sfl_do_request_schema;
extern const struct sfl_schema sfl_call_request_schema;

#endif
