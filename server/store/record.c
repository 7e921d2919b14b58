// SPDX-License-Identifier: Apache-2.0
#include "store/record.h"

#include "base/hash.h"

#include <assert.h>

enum { TYPE_OUTCOME = 1 };

// Where what the checksum is of begins.
#define CHECKED_FROM offsetof(struct sfl_record_head, type)

static uint64_t checksum_of(uint64_t token, const uint8_t *record, size_t size)
{
    return sfl_hash_stable(sfl_span_of(record + CHECKED_FROM, size - CHECKED_FROM), token);
}

struct sfl_record_head sfl_record_head_of(const struct sfl_kept *kept, uint64_t now_us)
{
    const struct sfl_outcome *outcome = kept->outcome;
    return (struct sfl_record_head){
        .type = TYPE_OUTCOME,
        .kind = (uint16_t)outcome->kind,
        .attempt = outcome->attempt,
        .callers = kept->callers,
        .texts_size = outcome->texts == NULL ? 0 : (uint32_t)outcome->texts->size,
        .group_size = (uint16_t)kept->group.size,
        .key_size = (uint16_t)kept->key.size,
        .fingerprint_size = (uint16_t)kept->fingerprint.size,
        .ended_at_us = now_us,
        .until_us = now_us + outcome->retain_ms * 1000,
        .value_size = outcome->value_bytes,
    };
}

size_t sfl_record_names_size(const struct sfl_record_head *head)
{
    return (size_t)head->group_size + head->key_size + head->fingerprint_size;
}

size_t sfl_record_size(const struct sfl_record_head *head)
{
    return sizeof(*head) + sfl_record_names_size(head) + head->texts_size + head->value_size;
}

static uint8_t *append(uint8_t *at, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(at, bytes, size);
    return at + size;
}

static void seal(uint8_t *record, size_t size, uint64_t token)
{
    uint64_t checksum = checksum_of(token, record, size);
    memcpy(record + offsetof(struct sfl_record_head, checksum), &checksum, sizeof(checksum));
}

void sfl_record_write(uint8_t *at, const struct sfl_record_head *head, const uint8_t *names,
                      const struct sfl_outcome *outcome)
{
    uint8_t *record = at;
    at = append(at, head, sizeof(*head));
    at = append(at, names, sfl_record_names_size(head));
    if (head->texts_size > 0)
        at = append(at, outcome->texts->data, head->texts_size);
    struct sfl_value_cursor cursor = {0};
    while (cursor.position < head->value_size) {
        struct sfl_span part = sfl_value_read(outcome->value, head->value_size, &cursor, SIZE_MAX);
        at = append(at, part.data, part.size);
    }
    assert((size_t)(at - record) == sfl_record_size(head));
    seal(record, (size_t)(at - record), outcome->token);
}

// Fills in the spans behind the head. False when the sizes do not add up.
static bool cut(const struct sfl_record_head *head, struct sfl_span rest, struct sfl_record *record)
{
    size_t names = sfl_record_names_size(head);
    uint64_t fixed = (uint64_t)names + head->texts_size;
    if (fixed > rest.size || rest.size - fixed != head->value_size)
        return false;
    const uint8_t *at = rest.data;
    record->group = sfl_span_of(at, head->group_size);
    record->key = sfl_span_of(at + head->group_size, head->key_size);
    record->fingerprint =
        sfl_span_of(at + head->group_size + head->key_size, head->fingerprint_size);
    record->texts = sfl_span_of(at + names, head->texts_size);
    record->value = sfl_span_of(at + fixed, head->value_size);
    return true;
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
    if (bytes.size < sizeof(head))
        return "a record is too short";
    memcpy(&head, bytes.data, sizeof(head));
    if (head.checksum != checksum_of(token, bytes.data, bytes.size))
        return "a record's checksum is wrong";
    if (head.type != TYPE_OUTCOME || head.unused != 0)
        return "a record is of no known type";
    struct sfl_span rest = sfl_span_of(bytes.data + sizeof(head), bytes.size - sizeof(head));
    return read_checked(token, &head, rest, record_out);
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
