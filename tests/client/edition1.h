// SPDX-License-Identifier: Apache-2.0
// What a program of the first edition was compiled with: its structs and prototypes as they were
// then. Never changed.
#ifndef SFL_TESTS_CLIENT_EDITION1_H
#define SFL_TESTS_CLIENT_EDITION1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum singleflight_status {
    SINGLEFLIGHT_OK = 0,
};

enum singleflight_outcome {
    SINGLEFLIGHT_OUTCOME_NONE = 0,
    SINGLEFLIGHT_OUTCOME_OK = 1,
};

struct singleflight_result {
    enum singleflight_status status;
    const char *message;
    enum singleflight_outcome outcome;
    const void *value;
    size_t value_bytes;
    int32_t code;
    const char *type;
    const char *stack;
    const void *details;
    size_t details_bytes;
    bool led;
    bool shared;
    uint32_t callers;
    uint32_t attempt;
    uint64_t token;
    bool retained;
    uint64_t age_ms;
    uint64_t retain_ms;
    bool retain_refused;
    bool failed_open;
};

void singleflight_result_free(struct singleflight_result *result);

struct singleflight_client;

struct singleflight_client_options {
    size_t struct_bytes;
    const char *const *addresses;
    size_t address_count;
    const char *caller;
    bool fail_open;
    uint64_t connect_timeout_ms; // 0: the default
    uint64_t backoff_min_ms;
    uint64_t backoff_max_ms;
    uint64_t keepalive_time_ms;
    uint64_t keepalive_timeout_ms;
    size_t result_bytes_max;
    size_t unsent_bytes_max;
};

#define SINGLEFLIGHT_CLIENT_OPTIONS_INIT                                                           \
    {                                                                                              \
        .struct_bytes = sizeof(struct singleflight_client_options)                                 \
    }

enum singleflight_status
singleflight_client_create(const struct singleflight_client_options *options,
                           struct singleflight_client **client_out);
void singleflight_client_destroy(struct singleflight_client *client);

enum singleflight_role {
    SINGLEFLIGHT_ROLE_ANY = 0,
};

enum singleflight_leader_loss {
    SINGLEFLIGHT_LEADER_LOSS_PROMOTE = 0,
};

struct singleflight_do_options {
    size_t struct_bytes;
    const char *group;
    const void *key;
    size_t key_bytes;
    uint64_t timeout_ms; // 0: never
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t max_age_ms;
    uint64_t lease_ms;
    uint64_t run_limit_ms;
    enum singleflight_leader_loss on_leader_loss;
    uint32_t max_attempts;
    enum singleflight_role role;
    bool live;
    bool audience;
    const void *fingerprint;
    size_t fingerprint_bytes;
    const char *caller;
    uint64_t resume_token;
    uint64_t connect_timeout_ms; // 0: the client's
    bool fail_open;
    bool no_fail_open;
    bool no_local_merge;
    bool no_value;
};

#define SINGLEFLIGHT_DO_OPTIONS_INIT                                                               \
    {                                                                                              \
        .struct_bytes = sizeof(struct singleflight_do_options)                                     \
    }

struct singleflight_leader;
typedef enum singleflight_outcome singleflight_function(struct singleflight_leader *leader,
                                                        void *context);

enum singleflight_status singleflight_do(struct singleflight_client *client,
                                         const struct singleflight_do_options *options,
                                         singleflight_function *function, void *context,
                                         struct singleflight_result **result_out);

enum singleflight_status singleflight_leader_write(struct singleflight_leader *leader,
                                                   const void *data, size_t data_bytes);

struct singleflight_call;

struct singleflight_call_events {
    size_t struct_bytes;
    void (*on_lead)(void *context, struct singleflight_leader *leader);
    void (*on_follow)(void *context, uint32_t attempt, const char *leader, uint64_t running_ms);
    void (*on_chunk)(void *context, const void *data, size_t data_bytes);
    void (*on_restart)(void *context, uint32_t attempt, const char *leader);
    void (*on_audience)(void *context, struct singleflight_leader *leader);
    void (*on_drained)(void *context, struct singleflight_leader *leader);
    void (*on_lost)(void *context, struct singleflight_leader *leader,
                    enum singleflight_status status, const char *why);
    void (*on_done)(void *context, struct singleflight_result *result);
};

#define SINGLEFLIGHT_CALL_EVENTS_INIT                                                              \
    {                                                                                              \
        .struct_bytes = sizeof(struct singleflight_call_events)                                    \
    }

enum singleflight_status singleflight_do_async(struct singleflight_client *client,
                                               const struct singleflight_do_options *options,
                                               const struct singleflight_call_events *events,
                                               void *context, struct singleflight_call **call_out);

void singleflight_leader_finish(struct singleflight_leader *leader,
                                enum singleflight_outcome outcome);

struct singleflight_forgotten {
    bool flight;
    bool retained;
};

enum singleflight_status singleflight_forget(struct singleflight_client *client, const char *group,
                                             const void *key, size_t key_bytes, bool if_unshared,
                                             uint64_t timeout_ms,
                                             struct singleflight_forgotten *forgotten_out);

#endif
