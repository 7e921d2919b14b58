// SPDX-License-Identifier: Apache-2.0
#include "src/join.h"

#include "base/hash.h"
#include "base/utf8.h"
#include "rpc/wire_writer.h"
#include "src/constants.h"

// As of keys: far above what any server takes.
#define GROUP_BYTES_MAX ((size_t)4096)
#define CALLER_BYTES_MAX ((size_t)4096)
#define FINGERPRINT_BYTES_MAX ((size_t)4096)
#define TRACEPARENT_BYTES_MAX ((size_t)128)

// The fields of the message Join in proto/singleflight/v1/singleflight.proto.
enum {
    JOIN_GROUP = 1,
    JOIN_KEY = 2,
    JOIN_ROLE = 3,
    JOIN_LIVE = 4,
    JOIN_AUDIENCE = 5,
    JOIN_RETAIN_MS = 6,
    JOIN_RETAIN_ERROR_MS = 7,
    JOIN_MAX_AGE_MS = 8,
    JOIN_LEASE_MS = 9,
    JOIN_RUN_LIMIT_MS = 10,
    JOIN_ON_LEADER_LOSS = 11,
    JOIN_MAX_ATTEMPTS = 12,
    JOIN_FINGERPRINT = 13,
    JOIN_CALLER = 15,
    JOIN_RETAIN_FROM_LEAD = 17, // from here on two bytes of tag
    JOIN_FRESH = 18,
    JOIN_WITHIN = 19,

    LEAD_REF_GROUP = 1,
    LEAD_REF_KEY = 2,
    LEAD_REF_TOKEN = 3,
};

static const char *problem_of(const struct singleflight_do_options *options,
                              const struct sfl_join_defaults *defaults)
{
    if (options->key == NULL || options->key_bytes == 0)
        return "key is missing: a key has 1 to 1,024 bytes";
    if (options->key_bytes > SFL_KEY_BYTES_MAX)
        return "key is too long: a key has 1 to 1,024 bytes";
    if (options->fingerprint_bytes > FINGERPRINT_BYTES_MAX)
        return "fingerprint is too long: at most 64 bytes";
    if (options->fingerprint == NULL && options->fingerprint_bytes > 0)
        return "fingerprint is NULL, but fingerprint_bytes is not 0";
    if (options->role < SINGLEFLIGHT_ROLE_ANY || options->role > SINGLEFLIGHT_ROLE_FOLLOW_ONLY)
        return "role is none of singleflight_role";
    if (options->on_leader_loss < SINGLEFLIGHT_LEADER_LOSS_PROMOTE ||
        options->on_leader_loss > SINGLEFLIGHT_LEADER_LOSS_HOLD)
        return "on_leader_loss is none of singleflight_leader_loss";
    bool is_plain = options->role == SINGLEFLIGHT_ROLE_ANY && !options->live && !options->fresh &&
                    options->resume_token == 0;
    if (options->stale_ms != 0 && !is_plain)
        return "stale_ms does not go with live, fresh, resume_token or a role";
    struct sfl_span group = sfl_span_of_text(options->group);
    if (group.size > GROUP_BYTES_MAX || !sfl_utf8_is_valid(group))
        return "group is not at most 128 bytes of [A-Za-z0-9._-]";
    if (options->caller == defaults->caller)
        return NULL; // it was checked when the client was made
    struct sfl_span caller = sfl_span_of_text(options->caller);
    if (caller.size > CALLER_BYTES_MAX || !sfl_utf8_is_valid(caller))
        return "caller is not at most 128 bytes of UTF-8";
    return NULL;
}

// A later version of the format may be longer. What is none costs the trace, not the call.
static bool is_traceparent(const char *text)
{
    return text != NULL && strlen(text) <= TRACEPARENT_BYTES_MAX &&
           strspn(text, "0123456789abcdef-") == strlen(text);
}

// Of the first edition: a timeout of 0 was none, and where `fresh` is now was padding.
static void read_first_edition(struct singleflight_do_options *options,
                               const struct singleflight_do_options *given)
{
    size_t end = offsetof(struct singleflight_do_options, fresh);
    memcpy(options, given, given->struct_bytes < end ? given->struct_bytes : end);
    if (options->timeout_ms == 0)
        options->timeout_ms = SINGLEFLIGHT_NOT_GIVEN;
    if (options->connect_timeout_ms == 0)
        options->connect_timeout_ms = SINGLEFLIGHT_NOT_GIVEN;
}

// Takes over what the caller's version of the struct has; the rest is as INIT says.
static void read_options(struct singleflight_do_options *options,
                         const struct singleflight_do_options *given,
                         const struct sfl_join_defaults *defaults)
{
    if (given->struct_bytes >= sizeof(*options)) {
        *options = *given;
    } else {
        *options = (struct singleflight_do_options)SINGLEFLIGHT_DO_OPTIONS_INIT;
        if (given->struct_bytes <= offsetof(struct singleflight_do_options, stale_ms))
            read_first_edition(options, given);
        else
            memcpy(options, given, given->struct_bytes);
    }
    options->struct_bytes = sizeof(*options);
    if (options->group == NULL)
        options->group = "";
    if (options->caller == NULL)
        options->caller = defaults->caller;
    if (!is_traceparent(options->traceparent))
        options->traceparent = "";
    options->fail_open = (options->fail_open || defaults->fail_open) && !options->no_fail_open &&
                         options->role != SINGLEFLIGHT_ROLE_FOLLOW_ONLY &&
                         options->resume_token == 0;
}

static const char *copy_text(uint8_t *at, struct sfl_span text)
{
    if (text.size > 0)
        memcpy(at, text.data, text.size);
    at[text.size] = 0;
    return (const char *)at;
}

// Writes the message, and lets the options point into it.
static uint8_t *put_join(uint8_t *at, struct singleflight_do_options *options,
                         struct sfl_span group, struct sfl_span caller)
{
    at = sfl_wire_put_bytes(at, JOIN_GROUP, group);
    at = sfl_wire_put_bytes(at, JOIN_KEY, sfl_span_of(options->key, options->key_bytes));
    options->key = at - options->key_bytes;
    at = sfl_wire_put_number(at, JOIN_ROLE, options->role);
    at = sfl_wire_put_number(at, JOIN_LIVE, options->live);
    at = sfl_wire_put_number(at, JOIN_AUDIENCE, options->audience);
    at = sfl_wire_put_number(at, JOIN_RETAIN_MS, options->retain_ms);
    at = sfl_wire_put_number(at, JOIN_RETAIN_ERROR_MS, options->retain_error_ms);
    at = sfl_wire_put_number(at, JOIN_MAX_AGE_MS, options->max_age_ms);
    at = sfl_wire_put_number(at, JOIN_LEASE_MS, options->lease_ms);
    at = sfl_wire_put_number(at, JOIN_RUN_LIMIT_MS, options->run_limit_ms);
    at = sfl_wire_put_number(at, JOIN_ON_LEADER_LOSS, options->on_leader_loss);
    at = sfl_wire_put_number(at, JOIN_MAX_ATTEMPTS, options->max_attempts);
    at = sfl_wire_put_bytes(at, JOIN_FINGERPRINT,
                            sfl_span_of(options->fingerprint, options->fingerprint_bytes));
    options->fingerprint = at - options->fingerprint_bytes;
    at = sfl_wire_put_bytes(at, JOIN_CALLER, caller);
    at = sfl_wire_put_number(at, JOIN_RETAIN_FROM_LEAD, options->retain_from_lead);
    return sfl_wire_put_number(at, JOIN_FRESH, options->fresh);
}

enum sfl_status sfl_join_read(struct sfl_join *join, const struct singleflight_do_options *given,
                              const struct sfl_join_defaults *defaults, const char **problem_out)
{
    if (given == NULL ||
        given->struct_bytes < offsetof(struct singleflight_do_options, timeout_ms)) {
        *problem_out = "the options do not start from SINGLEFLIGHT_DO_OPTIONS_INIT";
        return SFL_INVALID_ARGUMENT;
    }
    struct singleflight_do_options *options = &join->options;
    read_options(options, given, defaults);
    const char *problem = problem_of(options, defaults);
    if (problem != NULL) {
        *problem_out = problem;
        return SFL_INVALID_ARGUMENT;
    }
    join->group_bytes = strlen(options->group);
    join->young_ms = options->max_age_ms;
    if (options->stale_ms <= options->max_age_ms)
        options->stale_ms = 0; // nothing is older that may be served
    if (options->stale_ms != 0)
        options->max_age_ms = options->stale_ms;
    join->has_own_caller = options->caller != defaults->caller;
    if (options->connect_timeout_ms == SINGLEFLIGHT_NOT_GIVEN)
        options->connect_timeout_ms = defaults->connect_timeout_ms;
    join->mergeable = options->role == SINGLEFLIGHT_ROLE_ANY && !options->live && !options->fresh &&
                      options->resume_token == 0 && !options->no_local_merge;
    return SFL_OK;
}

// What a number that is there takes at most.
static size_t number_room(uint64_t value)
{
    return value == 0 ? 0 : 1 + SFL_WIRE_VARINT_MAX;
}

static size_t wire_room(const struct sfl_join *join, size_t caller_bytes)
{
    const struct singleflight_do_options *options = &join->options;
    return sfl_wire_bytes_size(join->group_bytes) + sfl_wire_bytes_size(options->key_bytes) +
           sfl_wire_bytes_size(options->fingerprint_bytes) + sfl_wire_bytes_size(caller_bytes) +
           number_room(options->role) + number_room(options->live) +
           number_room(options->audience) + number_room(options->retain_ms) +
           number_room(options->retain_error_ms) + number_room(options->max_age_ms) +
           number_room(options->lease_ms) + number_room(options->run_limit_ms) +
           number_room(options->on_leader_loss) + number_room(options->max_attempts) +
           number_room(options->retain_from_lead) + number_room(options->fresh);
}

// Group and caller are there twice: in the message, and as texts that end with NUL.
size_t sfl_join_copy_bytes(const struct sfl_join *join)
{
    size_t caller_bytes = strlen(join->options.caller);
    size_t text_bytes = join->group_bytes + 1 + strlen(join->options.traceparent) + 1 +
                        (join->has_own_caller ? caller_bytes + 1 : 0);
    return wire_room(join, caller_bytes) + text_bytes;
}

void sfl_join_copy(struct sfl_join *join, uint8_t *room)
{
    struct sfl_span group = sfl_join_group(join);
    struct sfl_span caller = sfl_span_of_text(join->options.caller);
    uint8_t *end = put_join(room, &join->options, group, caller);
    join->wire = sfl_span_of(room, (size_t)(end - room));
    join->options.group = copy_text(end, group);
    end += group.size + 1;
    struct sfl_span traceparent = sfl_span_of_text(join->options.traceparent);
    join->options.traceparent = copy_text(end, traceparent);
    if (join->has_own_caller)
        join->options.caller = copy_text(end + traceparent.size + 1, caller);
}

void sfl_join_refresh(struct sfl_join *refresh, const struct sfl_join *join, uint8_t *room)
{
    *refresh = *join;
    refresh->options.max_age_ms = join->young_ms == 0 ? 1 : join->young_ms;
    refresh->options.retain_error_ms = 0;
    refresh->options.stale_ms = 0;
    sfl_join_copy(refresh, room);
}

static size_t lead_ref_size(const struct sfl_lead_ref *ref)
{
    return sfl_wire_bytes_size(ref->group.size) + sfl_wire_bytes_size(ref->key.size) + 1 +
           sfl_wire_varint_size(ref->token);
}

size_t sfl_join_within_size(const struct sfl_lead_ref *refs, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t ref_size = lead_ref_size(&refs[i]);
        size += 2 + sfl_wire_varint_size(ref_size) + ref_size;
    }
    return size;
}

void sfl_join_put_within(uint8_t *at, const struct sfl_lead_ref *refs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        at = sfl_wire_put_length(at, JOIN_WITHIN, lead_ref_size(&refs[i]));
        at = sfl_wire_put_bytes(at, LEAD_REF_GROUP, refs[i].group);
        at = sfl_wire_put_bytes(at, LEAD_REF_KEY, refs[i].key);
        at = sfl_wire_put_number(at, LEAD_REF_TOKEN, refs[i].token);
    }
}

bool sfl_join_merges(const struct sfl_join *a, const struct sfl_join *b)
{
    return a->mergeable && b->mergeable && a->options.fail_open == b->options.fail_open &&
           a->options.no_value == b->options.no_value && sfl_span_equal(a->wire, b->wire);
}

uint64_t sfl_join_hash(const struct sfl_join *join, uint64_t seed)
{
    return sfl_hash_stable(join->wire, seed);
}
