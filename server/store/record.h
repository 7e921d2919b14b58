// SPDX-License-Identifier: Apache-2.0
// Records of the data file as bytes: made, and read with every field checked.
//
// A record begins with a checksum of all that follows and of its token, so that what a disk changed
// is noticed, and with its type, so that others can stand beside outcomes later. Numbers are in the
// byte order of the machine: a data file does not move between architectures.
#ifndef SFL_STORE_RECORD_H
#define SFL_STORE_RECORD_H

#include "core/kept.h"

#include <stdbool.h>
#include <stdint.h>

// The head of an outcome's record; group, key, fingerprint, texts and value follow, in this order.
struct sfl_record_head {
    uint64_t checksum;
    uint16_t type;
    uint16_t kind; // enum sfl_outcome_kind
    uint32_t attempt;
    uint32_t callers;
    uint32_t texts_size;
    uint16_t group_size;
    uint16_t key_size;
    uint16_t fingerprint_size;
    uint16_t unused;      // 0
    uint64_t ended_at_us; // of the wall clock
    uint64_t until_us;    // end of the retention
    uint64_t value_size;
};

// One outcome as a record says it. Spans are those of the record.
struct sfl_record {
    uint64_t token;
    uint32_t attempt;
    uint32_t callers;
    enum sfl_outcome_kind kind;
    uint64_t ended_at_us;
    uint64_t until_us;
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span fingerprint;
    struct sfl_span texts;
    struct sfl_span value;
};

// The head of an outcome that is retained from `now_us` on. The checksum is left out.
struct sfl_record_head sfl_record_head_of(const struct sfl_kept *kept, uint64_t now_us);

// Bytes of names that the head says.
size_t sfl_record_names_size(const struct sfl_record_head *head);

// Bytes of the whole record.
size_t sfl_record_size(const struct sfl_record_head *head);

// Writes the record into `at`, which has sfl_record_size() bytes and any alignment. `names` are
// group, key and fingerprint in a row.
void sfl_record_write(uint8_t *at, const struct sfl_record_head *head, const uint8_t *names,
                      const struct sfl_outcome *outcome);

// Reads a record. NULL when it is good, or what is wrong with it; then `record_out` is untouched.
const char *sfl_record_read(uint64_t token, struct sfl_span bytes, struct sfl_record *record_out);

// Reads a record of format 1, which had no checksum. The same otherwise.
const char *sfl_record_read_1(uint64_t token, struct sfl_span bytes, struct sfl_record *record_out);

// Writes into `at` what sfl_record_read has read, as a record of this format.
void sfl_record_copy(uint8_t *at, const struct sfl_record *record);
size_t sfl_record_copy_size(const struct sfl_record *record);

// A number of the file with its name, and a checksum of both.
struct sfl_number {
    uint64_t value;
    uint64_t checksum;
};

struct sfl_number sfl_number_of(const char *name, uint64_t value);

// False when the bytes are no such number.
bool sfl_number_read(const char *name, struct sfl_span bytes, uint64_t *value_out);

#endif
