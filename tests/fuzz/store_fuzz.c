// SPDX-License-Identifier: Apache-2.0
// Bytes of a disk through what reads the data file. The first byte says what the rest is: a record,
// one whose checksum is put right first, one of format 1, a number, or a whole file. What is read
// must lie within the bytes; and what is written of it must be read as the same.
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

static void read_record(struct sfl_span bytes)
{
    struct sfl_record record;
    if (sfl_record_read(TOKEN, bytes, &record) == NULL)
        check_record(bytes, &record);
}

// Most of what a fuzzer makes would go no further than the checksum.
static void read_sealed(struct sfl_span bytes)
{
    if (bytes.size < sizeof(struct sfl_record_head))
        return;
    size_t from = sizeof(uint64_t);
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
