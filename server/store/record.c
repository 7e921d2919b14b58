// SPDX-License-Identifier: Apache-2.0
#include "store/record.h"

#include "base/hash.h"

#include <assert.h>

enum {
    TYPE_OUTCOME = 1,
    TYPE_LEAD = 2,
    TYPE_RUN = 3,
};

enum {
    LEAD_FORGOTTEN = 1,
    LEAD_RETAINED_FROM_LEAD = 2,
    LEAD_FLAGS = LEAD_FORGOTTEN | LEAD_RETAINED_FROM_LEAD,
    LEADER_LOSS_LAST = 2, // the greatest that is known
};

// Where what the checksum is of begins; the same in every head.
#define CHECKED_FROM offsetof(struct sfl_record_head, type)
static_assert(offsetof(struct sfl_lead_head, type) == CHECKED_FROM &&
                  offsetof(struct sfl_run_head, type) == CHECKED_FROM,
              "a record begins with its checksum");
static_assert(sizeof(struct sfl_record_head) == 56 && sizeof(struct sfl_lead_head) == 120 &&
                  sizeof(struct sfl_run_head) == 80,
              "heads have no gaps");

static uint64_t checksum_of(uint64_t key, const uint8_t *record, size_t size)
{
    return sfl_hash_stable(sfl_span_of(record + CHECKED_FROM, size - CHECKED_FROM), key);
}

// --- making ---

static uint8_t *append(uint8_t *at, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(at, bytes, size);
    return at + size;
}

static uint8_t *append_span(uint8_t *at, struct sfl_span span)
{
    return append(at, span.data, span.size);
}

static void seal(uint8_t *record, size_t size, uint64_t key)
{
    uint64_t checksum = checksum_of(key, record, size);
    memcpy(record + offsetof(struct sfl_record_head, checksum), &checksum, sizeof(checksum));
}

static uint32_t texts_size(const struct sfl_outcome *outcome)
{
    return outcome == NULL || outcome->texts == NULL ? 0 : (uint32_t)outcome->texts->size;
}

static uint64_t value_size(const struct sfl_outcome *outcome)
{
    return outcome == NULL ? 0 : outcome->value_bytes;
}

struct sfl_record_start sfl_record_start_outcome(const struct sfl_kept *kept)
{
    return (struct sfl_record_start){
        .key = kept->outcome->token,
        .outcome = kept->outcome,
        .size = sizeof(struct sfl_record_head) + kept->group.size + kept->key.size +
                kept->fingerprint.size,
    };
}

void sfl_record_put_outcome(uint8_t *at, const struct sfl_kept *kept, uint64_t now_us)
{
    const struct sfl_outcome *outcome = kept->outcome;
    const struct sfl_record_head head = {
        .type = TYPE_OUTCOME,
        .kind = (uint16_t)outcome->kind,
        .attempt = outcome->attempt,
        .callers = kept->callers,
        .texts_size = texts_size(outcome),
        .group_size = (uint16_t)kept->group.size,
        .key_size = (uint16_t)kept->key.size,
        .fingerprint_size = (uint16_t)kept->fingerprint.size,
        .ended_at_us = now_us,
        .until_us = now_us + outcome->retain_ms * 1000,
        .value_size = outcome->value_bytes,
    };
    at = append(at, &head, sizeof(head));
    at = append_span(at, kept->group);
    at = append_span(at, kept->key);
    (void)append_span(at, kept->fingerprint);
}

struct sfl_record_start sfl_record_start_lead(const struct sfl_kept_lead *lead)
{
    return (struct sfl_record_start){
        .key = lead->token,
        .outcome = lead->error,
        .size = sizeof(struct sfl_lead_head) + lead->group.size + lead->key.size +
                lead->fingerprint.size + lead->leader.size,
    };
}

void sfl_record_put_lead(uint8_t *at, const struct sfl_kept_lead *lead)
{
    const struct sfl_outcome *error = lead->error;
    const struct sfl_lead_head head = {
        .type = TYPE_LEAD,
        .on_leader_loss = (uint8_t)lead->on_leader_loss,
        .flags = (uint8_t)((lead->forgotten ? LEAD_FORGOTTEN : 0) |
                           (lead->retain_from_lead ? LEAD_RETAINED_FROM_LEAD : 0)),
        .attempt = lead->attempt,
        .max_attempts = lead->max_attempts,
        .texts_size = texts_size(error),
        .group_size = (uint16_t)lead->group.size,
        .key_size = (uint16_t)lead->key.size,
        .fingerprint_size = (uint16_t)lead->fingerprint.size,
        .leader_size = (uint16_t)lead->leader.size,
        .error_kind = error == NULL ? 0 : (uint16_t)error->kind,
        .error_attempt = error == NULL ? 0 : error->attempt,
        .error_token = error == NULL ? 0 : error->token,
        .retain_ms = lead->retain_ms,
        .retain_error_ms = lead->retain_error_ms,
        .lease_ms = lead->lease_ms,
        .run_limit_ms = lead->run_limit_ms,
        .begun_unix_ms = lead->begun_unix_ms,
        .led_unix_ms = lead->led_unix_ms,
        .error_led_unix_ms = lead->error_led_unix_ms,
        .error_retain_ms = error == NULL ? 0 : error->retain_ms,
        .value_size = value_size(error),
    };
    at = append(at, &head, sizeof(head));
    at = append_span(at, lead->group);
    at = append_span(at, lead->key);
    at = append_span(at, lead->fingerprint);
    (void)append_span(at, lead->leader);
}

struct sfl_record_start sfl_record_start_run(uint64_t number, const struct sfl_run *run)
{
    return (struct sfl_record_start){
        .key = number,
        .size = sizeof(struct sfl_run_head) + run->group.size + run->key.size + run->leader.size +
                run->message.size,
    };
}

void sfl_record_put_run(uint8_t *at, const struct sfl_run *run)
{
    const struct sfl_run_head head = {
        .type = TYPE_RUN,
        .kind = (uint16_t)run->kind,
        .attempts = run->attempts,
        .callers = run->callers,
        .code = run->code,
        .group_size = (uint16_t)run->group.size,
        .key_size = (uint16_t)run->key.size,
        .leader_size = (uint16_t)run->leader.size,
        .message_size = (uint16_t)run->message.size,
        .token = run->token,
        .begun_unix_ms = run->begun_unix_ms,
        .led_unix_ms = run->led_unix_ms,
        .ended_unix_ms = run->ended_unix_ms,
        .value_bytes = run->value_bytes,
        .retained_hits = run->retained_hits,
    };
    at = append(at, &head, sizeof(head));
    at = append_span(at, run->group);
    at = append_span(at, run->key);
    at = append_span(at, run->leader);
    (void)append_span(at, run->message);
}

size_t sfl_record_size(const struct sfl_record_start *start)
{
    return start->size + texts_size(start->outcome) + (size_t)value_size(start->outcome);
}

void sfl_record_write(uint8_t *at, const struct sfl_record_start *start, const uint8_t *beginning)
{
    uint8_t *record = at;
    const struct sfl_outcome *outcome = start->outcome;
    at = append(at, beginning, start->size);
    if (texts_size(outcome) > 0)
        at = append(at, outcome->texts->data, outcome->texts->size);
    struct sfl_value_cursor cursor = {0};
    while (cursor.position < value_size(outcome)) {
        struct sfl_span part =
            sfl_value_read(outcome->value, outcome->value_bytes, &cursor, SIZE_MAX);
        at = append_span(at, part);
    }
    assert((size_t)(at - record) == sfl_record_size(start));
    seal(record, (size_t)(at - record), start->key);
}

// --- reading ---

// Takes the next part of what is left. False when that is not so long.
static bool take(struct sfl_span *rest, uint64_t size, struct sfl_span *part_out)
{
    if (size > rest->size)
        return false;
    *part_out = sfl_span_of(rest->data, (size_t)size);
    rest->data += size;
    rest->size -= (size_t)size;
    return true;
}

// Reads a head of `size` bytes, and what stands behind it. NULL, or what is wrong.
static const char *read_head(uint64_t key, struct sfl_span bytes, void *head, size_t size,
                             struct sfl_span *rest_out)
{
    uint64_t checksum;
    if (bytes.size < size)
        return "a record is too short";
    memcpy(head, bytes.data, size);
    memcpy(&checksum, head, sizeof(checksum));
    if (checksum != checksum_of(key, bytes.data, bytes.size))
        return "a record's checksum is wrong";
    *rest_out = sfl_span_of(bytes.data + size, bytes.size - size);
    return NULL;
}

// Fills in the spans behind the head. False when the sizes do not add up.
static bool cut(const struct sfl_record_head *head, struct sfl_span rest, struct sfl_record *record)
{
    return take(&rest, head->group_size, &record->group) &&
           take(&rest, head->key_size, &record->key) &&
           take(&rest, head->fingerprint_size, &record->fingerprint) &&
           take(&rest, head->texts_size, &record->texts) &&
           take(&rest, head->value_size, &record->value) && rest.size == 0;
}

static const char *read_checked(uint64_t token, const struct sfl_record_head *head,
                                struct sfl_span rest, struct sfl_record *record_out)
{
    struct sfl_record record = {
        .token = token,
        .attempt = head->attempt,
        .callers = head->callers,
        .kind = (enum sfl_outcome_kind)head->kind,
        .ended_at_us = head->ended_at_us,
        .until_us = head->until_us,
    };
    if (token == 0 || head->attempt == 0 || head->callers == 0)
        return "a record has no token, attempt or callers";
    if (head->kind < SFL_OUTCOME_OK || head->kind > SFL_OUTCOME_ABANDONED)
        return "a record is of no known kind";
    if (head->until_us < head->ended_at_us)
        return "a record ends before it begins";
    if (head->fingerprint_size > SFL_FINGERPRINT_MAX)
        return "a record has a fingerprint that is too long";
    if (!cut(head, rest, &record))
        return "a record's sizes do not add up";
    *record_out = record;
    return NULL;
}

const char *sfl_record_read(uint64_t token, struct sfl_span bytes, struct sfl_record *record_out)
{
    struct sfl_record_head head;
    struct sfl_span rest;
    const char *fault = read_head(token, bytes, &head, sizeof(head), &rest);
    if (fault != NULL)
        return fault;
    if (head.type != TYPE_OUTCOME || head.unused != 0)
        return "a record is of no known type";
    return read_checked(token, &head, rest, record_out);
}

static bool cut_lead(const struct sfl_lead_head *head, struct sfl_span rest,
                     struct sfl_lead_record *record)
{
    struct sfl_kept_lead *lead = &record->lead;
    return take(&rest, head->group_size, &lead->group) && take(&rest, head->key_size, &lead->key) &&
           take(&rest, head->fingerprint_size, &lead->fingerprint) &&
           take(&rest, head->leader_size, &lead->leader) &&
           take(&rest, head->texts_size, &record->error.texts) &&
           take(&rest, head->value_size, &record->error.value) && rest.size == 0;
}

// What is wrong with the error that a lead's head tells of; NULL: nothing.
static const char *check_error(const struct sfl_lead_head *head)
{
    if (head->error_kind == 0) {
        bool has_parts = head->error_attempt != 0 || head->error_token != 0 ||
                         head->texts_size != 0 || head->value_size != 0;
        return has_parts ? "a lead has parts of an error, and none" : NULL;
    }
    if (head->error_kind <= SFL_OUTCOME_OK || head->error_kind > SFL_OUTCOME_ABANDONED)
        return "a lead's error is of no known kind";
    return head->error_attempt == 0 || head->error_token == 0 ? "a lead's error has no token"
                                                              : NULL;
}

static const char *check_lead(uint64_t token, const struct sfl_lead_head *head)
{
    if (head->type != TYPE_LEAD || head->unused != 0 || (head->flags & ~LEAD_FLAGS) != 0 ||
        head->on_leader_loss > LEADER_LOSS_LAST)
        return "a record is of no known type";
    if (token == 0 || head->attempt == 0 || head->lease_ms == 0 || head->run_limit_ms == 0)
        return "a lead has no token, attempt, lease or run_limit";
    if (head->key_size == 0 || head->fingerprint_size > SFL_FINGERPRINT_MAX ||
        head->leader_size > SFL_CALLER_NAME_MAX)
        return "a lead has names that cannot be";
    return check_error(head);
}

const char *sfl_record_read_lead(uint64_t token, struct sfl_span bytes,
                                 struct sfl_lead_record *record_out)
{
    struct sfl_lead_head head;
    struct sfl_span rest;
    const char *fault = read_head(token, bytes, &head, sizeof(head), &rest);
    if (fault == NULL)
        fault = check_lead(token, &head);
    if (fault != NULL)
        return fault;
    struct sfl_lead_record record = {
        .lead =
            {
                .token = token,
                .attempt = head.attempt,
                .max_attempts = head.max_attempts,
                .on_leader_loss = (enum sfl_leader_loss)head.on_leader_loss,
                .forgotten = (head.flags & LEAD_FORGOTTEN) != 0,
                .retain_from_lead = (head.flags & LEAD_RETAINED_FROM_LEAD) != 0,
                .retain_ms = head.retain_ms,
                .retain_error_ms = head.retain_error_ms,
                .lease_ms = head.lease_ms,
                .run_limit_ms = head.run_limit_ms,
                .begun_unix_ms = head.begun_unix_ms,
                .led_unix_ms = head.led_unix_ms,
                .error_led_unix_ms = head.error_led_unix_ms,
            },
        .has_error = head.error_kind != 0,
        .error = {.kind = (enum sfl_outcome_kind)head.error_kind,
                  .attempt = head.error_attempt,
                  .token = head.error_token},
        .error_retain_ms = head.error_retain_ms,
    };
    if (!cut_lead(&head, rest, &record))
        return "a lead's sizes do not add up";
    *record_out = record;
    return NULL;
}

const char *sfl_record_read_run(uint64_t number, struct sfl_span bytes, struct sfl_run *run_out)
{
    struct sfl_run_head head;
    struct sfl_span rest;
    const char *fault = read_head(number, bytes, &head, sizeof(head), &rest);
    if (fault != NULL)
        return fault;
    if (head.type != TYPE_RUN || head.kind > SFL_OUTCOME_ABANDONED || number == 0)
        return "a record is of no known type";
    struct sfl_run run = {
        .token = head.token,
        .attempts = head.attempts,
        .callers = head.callers,
        .kind = head.kind,
        .code = head.code,
        .begun_unix_ms = head.begun_unix_ms,
        .led_unix_ms = head.led_unix_ms,
        .ended_unix_ms = head.ended_unix_ms,
        .value_bytes = head.value_bytes,
        .retained_hits = head.retained_hits,
    };
    if (!take(&rest, head.group_size, &run.group) || !take(&rest, head.key_size, &run.key) ||
        !take(&rest, head.leader_size, &run.leader) ||
        !take(&rest, head.message_size, &run.message) || rest.size != 0)
        return "a run's sizes do not add up";
    *run_out = run;
    return NULL;
}

// The head of format 1.
struct head_1 {
    uint32_t attempt;
    uint32_t callers;
    uint32_t kind;
    uint16_t group_size;
    uint16_t key_size;
    uint16_t fingerprint_size;
    uint16_t unused;
    uint32_t texts_size;
    uint64_t ended_at_us;
    uint64_t until_us;
    uint64_t value_size;
};

const char *sfl_record_read_1(uint64_t token, struct sfl_span bytes, struct sfl_record *record_out)
{
    struct head_1 old;
    if (bytes.size < sizeof(old))
        return "a record is too short";
    memcpy(&old, bytes.data, sizeof(old));
    struct sfl_record_head head = {
        .kind = old.kind > UINT16_MAX ? 0 : (uint16_t)old.kind,
        .attempt = old.attempt,
        .callers = old.callers,
        .texts_size = old.texts_size,
        .group_size = old.group_size,
        .key_size = old.key_size,
        .fingerprint_size = old.fingerprint_size,
        .ended_at_us = old.ended_at_us,
        .until_us = old.until_us,
        .value_size = old.value_size,
    };
    struct sfl_span rest = sfl_span_of(bytes.data + sizeof(old), bytes.size - sizeof(old));
    return read_checked(token, &head, rest, record_out);
}

size_t sfl_record_copy_size(const struct sfl_record *record)
{
    return sizeof(struct sfl_record_head) + record->group.size + record->key.size +
           record->fingerprint.size + record->texts.size + record->value.size;
}

void sfl_record_copy(uint8_t *at, const struct sfl_record *record)
{
    const struct sfl_record_head head = {
        .type = TYPE_OUTCOME,
        .kind = (uint16_t)record->kind,
        .attempt = record->attempt,
        .callers = record->callers,
        .texts_size = (uint32_t)record->texts.size,
        .group_size = (uint16_t)record->group.size,
        .key_size = (uint16_t)record->key.size,
        .fingerprint_size = (uint16_t)record->fingerprint.size,
        .ended_at_us = record->ended_at_us,
        .until_us = record->until_us,
        .value_size = record->value.size,
    };
    uint8_t *start = at;
    at = append(at, &head, sizeof(head));
    at = append(at, record->group.data, record->group.size);
    at = append(at, record->key.data, record->key.size);
    at = append(at, record->fingerprint.data, record->fingerprint.size);
    at = append(at, record->texts.data, record->texts.size);
    at = append(at, record->value.data, record->value.size);
    seal(start, (size_t)(at - start), record->token);
}

struct sfl_number sfl_number_of(const char *name, uint64_t value)
{
    return (struct sfl_number){value, sfl_hash_stable(sfl_span_of_text(name), value)};
}

bool sfl_number_read(const char *name, struct sfl_span bytes, uint64_t *value_out)
{
    struct sfl_number number;
    if (bytes.size != sizeof(number))
        return false;
    memcpy(&number, bytes.data, sizeof(number));
    if (number.checksum != sfl_number_of(name, number.value).checksum)
        return false;
    *value_out = number.value;
    return true;
}
