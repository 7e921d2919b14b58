// SPDX-License-Identifier: Apache-2.0
// Why a caller was refused or ended without an outcome: one row per reason.
#ifndef SFL_CORE_REASON_H
#define SFL_CORE_REASON_H

#include "base/bytes.h"
#include "base/status.h"

// name, status, text. In the text, %a and %b stand for the refusal's two numbers, %n for its name,
// %c for how the leader was lost, with its figure.
#define SFL_REASON_LIST(X)                                                                         \
    X(CANCELLED, CANCELLED, "cancelled by the caller")                                             \
    X(BROKEN, CANCELLED, "the stream broke")                                                       \
    X(DEADLINE, DEADLINE_EXCEEDED, "the caller's deadline passed")                                 \
    X(MALFORMED, INVALID_ARGUMENT, "malformed message")                                            \
    X(KEY_SIZE, INVALID_ARGUMENT, "key: %a bytes, must be 1 to %b")                                \
    X(GROUP_SIZE, INVALID_ARGUMENT, "group: %a bytes, must be at most %b")                         \
    X(GROUP_BYTES, INVALID_ARGUMENT, "group: may hold only A-Z a-z 0-9 . _ -")                     \
    X(FINGERPRINT_SIZE, INVALID_ARGUMENT, "fingerprint: %a bytes, must be at most %b")             \
    X(CALLER_SIZE, INVALID_ARGUMENT, "caller: %a bytes, must be at most %b")                       \
    X(RETAIN, INVALID_ARGUMENT, "retain_ms: %a, must be at most %b")                               \
    X(RETAIN_ERROR, INVALID_ARGUMENT, "retain_error_ms: %a, must be at most %b")                   \
    X(LEASE_SHORT, INVALID_ARGUMENT, "lease_ms: %a, must be 0 or at least %b")                     \
    X(LEASE_LONG, INVALID_ARGUMENT, "lease_ms: %a, must be at most %b")                            \
    X(RUN_LIMIT_LONG, INVALID_ARGUMENT, "run_limit_ms: %a, must be at most %b")                    \
    X(WITHIN, INVALID_ARGUMENT, "within: element %a has a key or group that is none")              \
    X(RETENTION, INVALID_ARGUMENT, "retention.retain_ms: %a, must be at most %b")                  \
    X(DETAILS_SIZE, INVALID_ARGUMENT, "outcome.details: %a bytes, must be at most %b")             \
    X(OUTCOME_KIND, INVALID_ARGUMENT, "outcome.kind: must be OK, ERROR, PANIC or ABANDONED")       \
    X(PASS_ON_OK, INVALID_ARGUMENT, "pass_on: not with an outcome of kind OK")                     \
    X(NOT_LEADING, INVALID_ARGUMENT, "step out of order: this caller does not lead")               \
    X(SEQUENCE, INVALID_ARGUMENT, "chunk.sequence: %a, expected %b")                               \
    X(NOTHING_TO_FOLLOW, NOT_FOUND, "nothing to follow: no flight runs for this key")              \
    X(OTHER_LEADS, ABORTED, "caller \"%n\" leads since %a ms")                                     \
    X(OTHER_ARGUMENTS, FAILED_PRECONDITION,                                                        \
      "fingerprint: differs from that of the flight of the same key")                              \
    X(FENCED, ABORTED, "fenced: token %a, now %b")                                                 \
    X(FENCED_FOR, ABORTED, "fenced: token %a, now %b (%c)")                                        \
    X(WITHIN_ITSELF, FAILED_PRECONDITION,                                                          \
      "would wait for itself: this call is made inside the lead with token %a")                    \
    X(LOST, ABORTED, "the leader was lost: %c")                                                    \
    X(ENDED, ABORTED, "%c")                                                                        \
    X(NOBODY_BEGINS, ABORTED, "its turn came, and no caller that waits may lead")                  \
    X(LEASE_BROKEN, ABORTED,                                                                       \
      "the leader sends no more; token %a may be resumed on a new stream within %b ms")            \
    X(NOBODY_LEADS, ABORTED, "the leader was lost (%c), and no caller that waits may lead")        \
    X(ATTEMPTS_USED, ABORTED, "the leader was lost (%c), and all %a attempts are used up")         \
    X(LOSS_IS_FAIL, ABORTED, "the leader was lost (%c), and on_leader_loss is FAIL")               \
    X(DRAINING, UNAVAILABLE, "the server is draining; try another replica or again")               \
    X(DRAINED, UNAVAILABLE, "the server's drain time is over; try again")                          \
    X(HOME_UNREACHABLE, UNAVAILABLE, "the coordinator cannot be reached; try again")               \
    X(FLIGHTS_LIMIT, RESOURCE_EXHAUSTED, "flights: the limit of %a is reached")                    \
    X(CALLERS_LIMIT, RESOURCE_EXHAUSTED, "callers: the limit of %a is reached")                    \
    X(CONNECTION_LIMIT, RESOURCE_EXHAUSTED,                                                        \
      "callers of one connection: the limit of %a is reached")                                     \
    X(VALUE_LIMIT, RESOURCE_EXHAUSTED, "result: larger than the limit of %a bytes")                \
    X(TEXTS_LIMIT, RESOURCE_EXHAUSTED,                                                             \
      "outcome: message, type, stack and details are larger than the limit of %a bytes")           \
    X(HELD_LIMIT, RESOURCE_EXHAUSTED, "bytes held for results: the limit of %a is reached")        \
    X(FLIGHTS_QUOTA, RESOURCE_EXHAUSTED, "flights of this group: its quota of %a is reached")      \
    X(CALLERS_QUOTA, RESOURCE_EXHAUSTED, "callers of this group: its quota of %a is reached")      \
    X(JOINS_QUOTA, RESOURCE_EXHAUSTED, "joins of this group: its quota of %a a second is reached") \
    X(HELD_QUOTA, RESOURCE_EXHAUSTED,                                                              \
      "bytes held for results of this group: its quota of %a is reached")                          \
    X(GROUPS_LIMIT, RESOURCE_EXHAUSTED, "groups: the limit of %a is reached")                      \
    X(RENEWALS_LIMIT, RESOURCE_EXHAUSTED,                                                          \
      "renewals: 1024 of this call wait until the caller reads their answers")                     \
    X(STREAM_RENEWALS_LIMIT, RESOURCE_EXHAUSTED,                                                   \
      "renewals: 65536 of this stream wait until the caller reads their answers")                  \
    X(BAD_TOKEN, UNAUTHENTICATED, "the token is not known here, or no longer")                     \
    X(OPEN_TOKEN, UNAUTHENTICATED, "a token is taken over TLS, a unix socket or loopback only")    \
    X(BAD_NAMES, UNAUTHENTICATED,                                                                  \
      "the certificate has more names than can be taken, or longer ones")                          \
    X(NOBODY, UNAUTHENTICATED, "who calls is not known: show a token or a certificate")            \
    X(DENY_LIST, PERMISSION_DENIED, "this caller is on the deny list")                             \
    X(MAY_NOT_DO, PERMISSION_DENIED, "no right to \"do\" in this group")                           \
    X(MAY_NOT_LEAD, PERMISSION_DENIED, "no right to \"lead\" in this group")                       \
    X(MAY_NOT_FORGET, PERMISSION_DENIED, "no right to \"forget\" in this group")                   \
    X(MAY_NOT_END, PERMISSION_DENIED, "no right to \"end\" in this group")                         \
    X(MAY_NOT_LIST, PERMISSION_DENIED, "no right to \"list\" in this group")                       \
    X(MAY_NOT_ADMIN, PERMISSION_DENIED, "no right to \"admin\" of this server")                    \
    X(NO_MEMORY, NO_MEMORY, "out of memory")

enum sfl_reason {
#define SFL_REASON_ENUM(name, status, text) SFL_REASON_##name,
    SFL_REASON_LIST(SFL_REASON_ENUM)
#undef SFL_REASON_ENUM
        SFL_REASON_NONE, // not refused
};

// How a leader was lost, for the texts of those that waited for it.
// %d stands for the time that ran out, %n for the refusal's name.
#define SFL_LOSS_LIST(X)                                                                           \
    X(LEFT, "its stream ended")                                                                    \
    X(LEASE, "its lease of %d ran out")                                                            \
    X(RUN_LIMIT, "its run limit of %d ran out")                                                    \
    X(FAILED, "its stream ended with an error")                                                    \
    X(PASSED_ON, "it passed on")                                                                   \
    X(RESUMED, "it was resumed on another stream")                                                 \
    X(ENDED, "ended")                                                                              \
    X(ENDED_BY, "ended by %n")                                                                     \
    X(ROOM, "its room was needed")                                                                 \
    X(RESTART, "a token of before the restart")

enum sfl_loss {
#define SFL_LOSS_ENUM(name, text) SFL_LOSS_##name,
    SFL_LOSS_LIST(SFL_LOSS_ENUM)
#undef SFL_LOSS_ENUM
        SFL_LOSSES,
};

struct sfl_refusal {
    enum sfl_reason reason : 16;
    enum sfl_loss loss : 16;
    uint32_t loss_ms; // the lease or run_limit that ran out
    uint64_t a;
    uint64_t b;
    struct sfl_bytes *name; // in an effect: a reference that its receiver drops; may be NULL
};

// The largest text that sfl_refusal_text writes, its end included.
enum { SFL_REFUSAL_TEXT_MAX = 384 };

enum sfl_status sfl_reason_status(enum sfl_reason reason);

// The text of a reason that has nothing to fill in; static storage.
const char *sfl_reason_text(enum sfl_reason reason);

// True when the reason is a limit, as the statistic `refused` counts it.
bool sfl_reason_is_limit(enum sfl_reason reason);

// Writes the text that the remote caller reads, always ended by 0.
void sfl_refusal_text(const struct sfl_refusal *refusal,
                      char text_out[static SFL_REFUSAL_TEXT_MAX]);

#endif
