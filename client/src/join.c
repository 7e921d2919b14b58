// SPDX-License-Identifier: Apache-2.0
#include "src/join.h"

#include "base/hash.h"
#include "base/utf8.h"

#include <stdlib.h>

// Far above what any server takes; only keeps a message of ours below its bound.
#define KEY_BYTES_MAX ((size_t)64 * 1024)
#define GROUP_BYTES_MAX ((size_t)4096)
#define CALLER_BYTES_MAX ((size_t)4096)
#define FINGERPRINT_BYTES_MAX ((size_t)4096)

static const char *problem_of(const struct singleflight_do_options *options)
{
    if (options->key == NULL || options->key_bytes == 0)
        return "key is missing: a key has 1 to 1,024 bytes";
    if (options->key_bytes > KEY_BYTES_MAX)
        return "key is too long: a key has 1 to 1,024 bytes";
    if (options->fingerprint_bytes > FINGERPRINT_BYTES_MAX)
        return "fingerprint is too long: at most 64 bytes";
    if (options->fingerprint == NULL && options->fingerprint_bytes > 0)
        return "fingerprint is NULL, but fingerprint_bytes is not 0";
    if (options->role < SINGLEFLIGHT_ROLE_ANY || options->role > SINGLEFLIGHT_ROLE_FOLLOW_ONLY)
        return "role is none of singleflight_role";
    if (options->on_leader_loss < SINGLEFLIGHT_LEADER_LOSS_PROMOTE ||
        options->on_leader_loss > SINGLEFLIGHT_LEADER_LOSS_FAIL)
        return "on_leader_loss is none of singleflight_leader_loss";
    struct sfl_span group = sfl_span_of_text(options->group);
    if (group.size > GROUP_BYTES_MAX || !sfl_utf8_is_valid(group))
        return "group is not at most 128 bytes of [A-Za-z0-9._-]";
    struct sfl_span caller = sfl_span_of_text(options->caller);
    if (caller.size > CALLER_BYTES_MAX || !sfl_utf8_is_valid(caller))
        return "caller is not at most 128 bytes of UTF-8";
    return NULL;
}

// Copies what the caller's version of the struct has; the rest is 0.
static struct singleflight_do_options read_options(const struct singleflight_do_options *given,
                                                   const struct sfl_join_defaults *defaults)
{
    struct singleflight_do_options options = {0};
    size_t known = given->struct_bytes < sizeof(options) ? given->struct_bytes : sizeof(options);
    memcpy(&options, given, known);
    options.struct_bytes = sizeof(options);
    if (options.group == NULL)
        options.group = "";
    if (options.caller == NULL)
        options.caller = defaults->caller;
    options.fail_open = (options.fail_open || defaults->fail_open) && !options.no_fail_open &&
                        options.role != SINGLEFLIGHT_ROLE_FOLLOW_ONLY && options.resume_token == 0;
    return options;
}

static const void *copy_to(uint8_t **at, const void *from, size_t size)
{
    uint8_t *to = *at;
    if (size > 0)
        memcpy(to, from, size);
    *at += size;
    return to;
}

enum sfl_status sfl_join_create(const struct singleflight_do_options *given,
                                const struct sfl_join_defaults *defaults,
                                struct sfl_join **join_out, const char **problem_out)
{
    if (given == NULL ||
        given->struct_bytes < offsetof(struct singleflight_do_options, timeout_ms)) {
        *problem_out = "the options do not start from SINGLEFLIGHT_DO_OPTIONS_INIT";
        return SFL_INVALID_ARGUMENT;
    }
    struct singleflight_do_options options = read_options(given, defaults);
    const char *problem = problem_of(&options);
    if (problem != NULL) {
        *problem_out = problem;
        return SFL_INVALID_ARGUMENT;
    }
    size_t group_size = strlen(options.group) + 1;
    size_t caller_size = strlen(options.caller) + 1;
    struct sfl_join *join = malloc(sizeof(*join) + group_size + caller_size + options.key_bytes +
                                   options.fingerprint_bytes);
    if (join == NULL) {
        *problem_out = "there is no memory left";
        return SFL_NO_MEMORY;
    }
    atomic_init(&join->references, 1);
    join->options = options;
    uint8_t *at = (uint8_t *)(join + 1);
    join->options.group = copy_to(&at, options.group, group_size);
    join->options.caller = copy_to(&at, options.caller, caller_size);
    join->options.key = copy_to(&at, options.key, options.key_bytes);
    join->options.fingerprint = copy_to(&at, options.fingerprint, options.fingerprint_bytes);
    join->group_bytes = group_size - 1;
    join->waits_when_down = options.connect_timeout_ms != 0;
    if (!join->waits_when_down)
        join->options.connect_timeout_ms = defaults->connect_timeout_ms;
    join->mergeable = options.role == SINGLEFLIGHT_ROLE_ANY && !options.live &&
                      options.resume_token == 0 && !options.no_local_merge;
    *join_out = join;
    return SFL_OK;
}

struct sfl_join *sfl_join_ref(struct sfl_join *join)
{
    atomic_fetch_add_explicit(&join->references, 1, memory_order_relaxed);
    return join;
}

void sfl_join_unref(struct sfl_join *join)
{
    if (atomic_fetch_sub_explicit(&join->references, 1, memory_order_acq_rel) == 1)
        free(join);
}

bool sfl_join_merges(const struct sfl_join *a, const struct sfl_join *b)
{
    const struct singleflight_do_options *x = &a->options;
    const struct singleflight_do_options *y = &b->options;
    return a->mergeable && b->mergeable && sfl_span_equal(sfl_join_key(a), sfl_join_key(b)) &&
           sfl_span_equal(sfl_join_group(a), sfl_join_group(b)) &&
           sfl_span_equal(sfl_span_of(x->fingerprint, x->fingerprint_bytes),
                          sfl_span_of(y->fingerprint, y->fingerprint_bytes)) &&
           strcmp(x->caller, y->caller) == 0 && x->retain_ms == y->retain_ms &&
           x->retain_error_ms == y->retain_error_ms && x->max_age_ms == y->max_age_ms &&
           x->lease_ms == y->lease_ms && x->run_limit_ms == y->run_limit_ms &&
           x->on_leader_loss == y->on_leader_loss && x->max_attempts == y->max_attempts &&
           x->audience == y->audience && x->fail_open == y->fail_open && x->no_value == y->no_value;
}

uint64_t sfl_join_hash(const struct sfl_join *join, uint64_t seed)
{
    return sfl_hash_stable(sfl_join_key(join), sfl_hash_stable(sfl_join_group(join), seed));
}

void sfl_join_to_wire(const struct sfl_join *join, uint64_t resume_token,
                      Singleflight__V1__Join *wire_out)
{
    const struct singleflight_do_options *options = &join->options;
    Singleflight__V1__Join wire = SINGLEFLIGHT__V1__JOIN__INIT;
    wire.group = (char *)options->group;
    wire.key = (ProtobufCBinaryData){options->key_bytes, (uint8_t *)options->key};
    wire.caller = (char *)options->caller;
    wire.role = (Singleflight__V1__Role)options->role;
    wire.live = options->live;
    wire.audience = options->audience;
    wire.retain_ms = options->retain_ms;
    wire.retain_error_ms = options->retain_error_ms;
    wire.max_age_ms = options->max_age_ms;
    wire.lease_ms = options->lease_ms;
    wire.run_limit_ms = options->run_limit_ms;
    wire.on_leader_loss = (Singleflight__V1__LeaderLoss)options->on_leader_loss;
    wire.max_attempts = options->max_attempts;
    wire.fingerprint =
        (ProtobufCBinaryData){options->fingerprint_bytes, (uint8_t *)options->fingerprint};
    wire.resume_token = resume_token != 0 ? resume_token : options->resume_token;
    *wire_out = wire;
}
