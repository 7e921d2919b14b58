// SPDX-License-Identifier: Apache-2.0
// What a server says on a session: one frame after the other, from bytes to structs.
#ifndef SFL_CLIENT_ANSWER_H
#define SFL_CLIENT_ANSWER_H

#include "rpc/schema.h"

// The steps of CallResponse.
enum sfl_answer_type {
    SFL_ANSWER_NONE, // no step, or one of a later server
    SFL_ANSWER_LEAD,
    SFL_ANSWER_FOLLOW,
    SFL_ANSWER_CHUNK,
    SFL_ANSWER_RESTART,
    SFL_ANSWER_AUDIENCE,
    SFL_ANSWER_RESULT,
    SFL_ANSWER_END,
    SFL_ANSWER_RENEWED,
};

struct sfl_answer_lead {
    uint64_t token;
    uint32_t attempt;
    uint64_t lease_ms;
    uint64_t run_limit_ms;
    uint64_t next_sequence;
    uint64_t silence_ms;   // 0: a server that answers no renew
    uint64_t result_limit; // 0: it does not say
};

struct sfl_answer_follow {
    uint32_t attempt;
    struct sfl_span leader;
    uint64_t running_ms;
};

struct sfl_answer_chunk {
    struct sfl_span data;
    uint64_t sequence;
    uint32_t attempt;
};

struct sfl_answer_restart {
    uint32_t attempt;
    struct sfl_span leader;
};

struct sfl_answer_audience {
    uint32_t followers;
    uint64_t latest_deadline_ms;
};

struct sfl_answer_outcome {
    int32_t kind; // any number
    struct sfl_span value;
    int32_t code;
    struct sfl_span message;
    struct sfl_span type;
    struct sfl_span stack;
    struct sfl_span details;
};

struct sfl_answer_result {
    struct sfl_answer_outcome outcome;
    bool has_outcome;
    bool led;
    bool shared;
    uint32_t callers;
    uint32_t attempt;
    uint64_t token;
    bool retained;
    uint64_t age_ms;
    uint64_t retain_ms;
    uint64_t value_bytes;
    bool retain_refused;
};

struct sfl_answer_renewed {
    uint64_t id;
    uint64_t silence_ms; // 0: as `lead` said
};

struct sfl_answer_end {
    int32_t code;
    struct sfl_span message;
};

// One frame. Spans are borrowed from the message, and are any bytes, texts too. Without a step the
// union is unspecified.
struct sfl_answer {
    uint64_t id;
    int type; // enum sfl_answer_type
    union {
        struct sfl_answer_lead lead;
        struct sfl_answer_follow follow;
        struct sfl_answer_chunk chunk;
        struct sfl_answer_restart restart;
        struct sfl_answer_audience audience;
        struct sfl_answer_result result;
        struct sfl_answer_end end;
        struct sfl_answer_renewed renewed;
    };
};

// Takes the next frame off the front of a SessionResponse; `rest` starts as the whole message.
// False at its end, where `rest` is empty, and when it is malformed, where it is not.
bool sfl_answer_next(struct sfl_span *rest, struct sfl_answer *answer_out);

// The server turns the call away: it drains, or its coordinator is away.
bool sfl_answer_refuses(const struct sfl_answer *answer);

// Writes a text that ends with NUL: at most `size` - 1 bytes of `text`, no torn character.
void sfl_answer_text(struct sfl_span text, char *text_out, size_t size);

// The table, for the test that compares it with the proto file.
extern const struct sfl_schema sfl_answer_schema;

#endif
