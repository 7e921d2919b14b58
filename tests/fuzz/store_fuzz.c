// SPDX-License-Identifier: Apache-2.0
// Bytes of a disk through what reads the data file. The first byte says what the rest is: a record
// of an outcome, a lead or a run, as it is or with its checksum put right first, an outcome of
// format 1, a number, or a whole file. What is read must lie within the bytes; and what is written
// of it must be read as the same.
#include "base/hash.h"
#include "store/layout.h"
#include "store/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "store_fuzz:%d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { TOKEN = 7 };

static uint64_t touched; // so that every byte of a span is read

static void check_within(struct sfl_span bytes, struct sfl_span part)
{
    CHECK(part.size == 0 ||
          (part.data >= bytes.data && part.data + part.size <= bytes.data + bytes.size));
    for (size_t i = 0; i < part.size; i++)
        touched += part.data[i];
}

static void check_record(struct sfl_span bytes, const struct sfl_record *record)
{
    check_within(bytes, record->group);
    check_within(bytes, record->key);
    check_within(bytes, record->fingerprint);
    check_within(bytes, record->texts);
    check_within(bytes, record->value);
    CHECK(record->fingerprint.size <= SFL_FINGERPRINT_MAX);
    CHECK(record->until_us >= record->ended_at_us);
    CHECK(record->kind >= SFL_OUTCOME_OK && record->kind <= SFL_OUTCOME_ABANDONED);

    size_t size = sfl_record_copy_size(record);
    uint8_t *copy = malloc(size);
    struct sfl_record again;
    CHECK(copy != NULL);
    sfl_record_copy(copy, record);
    CHECK(sfl_record_read(record->token, sfl_span_of(copy, size), &again) == NULL);
    CHECK(sfl_span_equal(again.group, record->group) && sfl_span_equal(again.key, record->key));
    CHECK(sfl_span_equal(again.value, record->value));
    CHECK(sfl_span_equal(again.texts, record->texts));
    CHECK(sfl_record_read(record->token + 1, sfl_span_of(copy, size), &again) != NULL);
    free(copy);
}

// Writes a record that has no outcome anew, and compares it with what it was read from.
static void check_same(struct sfl_span bytes, const struct sfl_record_start *start,
                       const uint8_t *beginning)
{
    CHECK(sfl_record_size(start) == bytes.size);
    uint8_t *copy = malloc(bytes.size);
    CHECK(copy != NULL);
    sfl_record_write(copy, start, beginning);
    CHECK(memcmp(copy, bytes.data, bytes.size) == 0);
    free(copy);
}

static void check_lead(struct sfl_span bytes, const struct sfl_lead_record *record)
{
    const struct sfl_kept_lead *lead = &record->lead;
    check_within(bytes, lead->group);
    check_within(bytes, lead->key);
    check_within(bytes, lead->fingerprint);
    check_within(bytes, lead->leader);
    check_within(bytes, record->error.texts);
    check_within(bytes, record->error.value);
    CHECK(lead->key.size > 0 && lead->fingerprint.size <= SFL_FINGERPRINT_MAX);
    CHECK(lead->leader.size <= SFL_CALLER_NAME_MAX);
    CHECK(lead->attempt > 0 && lead->lease_ms > 0 && lead->run_limit_ms > 0);
    CHECK(lead->on_leader_loss <= SFL_LEADER_LOSS_HOLD);
    if (record->has_error) {
        CHECK(record->error.kind > SFL_OUTCOME_OK && record->error.kind <= SFL_OUTCOME_ABANDONED);
        CHECK(record->error.token > 0 && record->error.attempt > 0);
        return;
    }
    const struct sfl_record_start start = sfl_record_start_lead(lead);
    uint8_t *beginning = malloc(start.size);
    CHECK(beginning != NULL);
    sfl_record_put_lead(beginning, lead);
    if (record->error_retain_ms == 0) // a field without a meaning when there is no error
        check_same(bytes, &start, beginning);
    free(beginning);
}

static void check_run(struct sfl_span bytes, const struct sfl_run *run)
{
    check_within(bytes, run->group);
    check_within(bytes, run->key);
    check_within(bytes, run->leader);
    check_within(bytes, run->message);
    CHECK(run->kind >= 0 && run->kind <= SFL_OUTCOME_ABANDONED);
    const struct sfl_record_start start = sfl_record_start_run(TOKEN, run);
    uint8_t *beginning = malloc(start.size);
    CHECK(beginning != NULL);
    sfl_record_put_run(beginning, run);
    check_same(bytes, &start, beginning);
    free(beginning);
}

static void read_record(struct sfl_span bytes)
{
    struct sfl_record outcome;
    struct sfl_lead_record lead;
    struct sfl_run run;
    if (sfl_record_read(TOKEN, bytes, &outcome) == NULL)
        check_record(bytes, &outcome);
    if (sfl_record_read_lead(TOKEN, bytes, &lead) == NULL)
        check_lead(bytes, &lead);
    if (sfl_record_read_run(TOKEN, bytes, &run) == NULL)
        check_run(bytes, &run);
}

// Most of what a fuzzer makes would go no further than the checksum.
static void read_sealed(struct sfl_span bytes)
{
    size_t from = sizeof(uint64_t);
    if (bytes.size < from)
        return;
    uint8_t *copy = malloc(bytes.size);
    CHECK(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    uint64_t checksum = sfl_hash_stable(sfl_span_of(copy + from, bytes.size - from), TOKEN);
    memcpy(copy, &checksum, sizeof(checksum));
    read_record(sfl_span_of(copy, bytes.size));
    free(copy);
}

static void read_1(struct sfl_span bytes)
{
    struct sfl_record record;
    if (sfl_record_read_1(TOKEN, bytes, &record) == NULL)
        check_record(bytes, &record);
}

static void read_number(struct sfl_span bytes)
{
    uint64_t value;
    if (!sfl_number_read("tokens", bytes, &value))
        return;
    struct sfl_number number = sfl_number_of("tokens", value);
    CHECK(bytes.size == sizeof(number) && memcmp(bytes.data, &number, sizeof(number)) == 0);
}

static bool has_number_keys(struct sfl_span table)
{
    return !sfl_span_equal(table, sfl_span_of_text("meta"));
}

static const char *take_entry(void *context, struct sfl_span table, struct sfl_span key,
                              struct sfl_span data)
{
    const struct sfl_span *file = context;
    check_within(*file, table);
    check_within(*file, key);
    check_within(*file, data);
    return NULL;
}

static void check_file(struct sfl_span bytes)
{
    const struct sfl_layout_visitor visitor = {has_number_keys, take_entry, &bytes};
    struct sfl_layout layout = {.fault = ""};
    if (!sfl_layout_check(bytes, &visitor, &layout))
        CHECK(memchr(layout.fault, '\0', sizeof(layout.fault)) != NULL && layout.fault[0] != '\0');
    else
        CHECK(layout.used_bytes <= bytes.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static void (*const readers[])(struct sfl_span bytes) = {read_record, read_sealed, read_1,
                                                             read_number, check_file};
    if (size > 0)
        readers[bytes[0] % 5](sfl_span_of(bytes + 1, size - 1));
    return 0;
}
