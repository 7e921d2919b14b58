// SPDX-License-Identifier: Apache-2.0
// The one list of things that a call of ours can end with, each with its gRPC code.
#ifndef SFL_BASE_STATUS_H
#define SFL_BASE_STATUS_H

// name, gRPC code (google.rpc.Code), text for logs
#define SFL_STATUS_LIST(X)                                                                         \
    X(OK, 0, "ok")                                                                                 \
    X(CANCELLED, 1, "cancelled")                                                                   \
    X(INVALID_ARGUMENT, 3, "invalid argument")                                                     \
    X(DEADLINE_EXCEEDED, 4, "deadline exceeded")                                                   \
    X(NOT_FOUND, 5, "not found")                                                                   \
    X(PERMISSION_DENIED, 7, "permission denied")                                                   \
    X(RESOURCE_EXHAUSTED, 8, "resource exhausted")                                                 \
    X(FAILED_PRECONDITION, 9, "failed precondition")                                               \
    X(ABORTED, 10, "aborted")                                                                      \
    X(UNIMPLEMENTED, 12, "unimplemented")                                                          \
    X(INTERNAL, 13, "internal error")                                                              \
    X(UNAVAILABLE, 14, "unavailable")                                                              \
    X(UNAUTHENTICATED, 16, "unauthenticated")                                                      \
    X(NO_MEMORY, 8, "out of memory")

enum sfl_status {
#define SFL_STATUS_ENUM(name, code, text) SFL_##name,
    SFL_STATUS_LIST(SFL_STATUS_ENUM)
#undef SFL_STATUS_ENUM
};

#define SFL_MUST_USE __attribute__((warn_unused_result))

// The gRPC status code (google.rpc.Code) that a remote peer sees for `status`.
int sfl_status_code(enum sfl_status status);

// A short lower-case text, static storage.
const char *sfl_status_text(enum sfl_status status);

// The status for a gRPC code; SFL_INTERNAL for a code that is not in the list.
enum sfl_status sfl_status_of_code(int code);

#endif
