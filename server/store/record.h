// SPDX-License-Identifier: Apache-2.0
// Records of the data file as bytes: made, and read with every field checked.
//
// A record begins with a checksum of all that follows and of its key, so that what a disk changed
// is noticed, and with its type. Numbers are in the byte order of the machine: a data file does not
// move between architectures.
//
// It is made in two parts: its beginning, head and names, when it is queued; the rest, which may be
// large, when it is written: texts and value of its outcome, if it has one.
#ifndef SFL_STORE_RECORD_H
#define SFL_STORE_RECORD_H

#include "keeper/keeper.h"

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

// The head of a lead's record; group, key, fingerprint, leader's name, and texts and value of the
// error that was passed on follow.
struct sfl_lead_head {
    uint64_t checksum;
    uint16_t type;
    uint8_t on_leader_loss; // enum sfl_leader_loss
    uint8_t flags;
    uint32_t attempt;
    uint32_t max_attempts;
    uint32_t texts_size;
    uint16_t group_size;
    uint16_t key_size;
    uint16_t fingerprint_size;
    uint16_t leader_size;
    uint16_t error_kind; // enum sfl_outcome_kind; 0: no error was passed on
    uint16_t unused;     // 0
    uint32_t error_attempt;
    uint64_t error_token;
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t lease_ms;
    uint64_t run_limit_ms;
    uint64_t begun_unix_ms;
    uint64_t led_unix_ms;
    uint64_t error_led_unix_ms;
    uint64_t error_retain_ms;
    uint64_t value_size;
};

// The head of a run's record; group, key, leader's name and message follow.
struct sfl_run_head {
    uint64_t checksum;
    uint16_t type;
    uint16_t kind; // enum sfl_outcome_kind; 0: it ended without an outcome
    uint32_t attempts;
    uint32_t callers;
    int32_t code;
    uint16_t group_size;
    uint16_t key_size;
    uint16_t leader_size;
    uint16_t message_size;
    uint64_t token;
    uint64_t begun_unix_ms;
    uint64_t led_unix_ms;
    uint64_t ended_unix_ms;
    uint64_t value_bytes;
    uint64_t retained_hits;
};

// One outcome as a record says it. Spans, here and below, are those of the record.
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

// One lead as a record says it.
struct sfl_lead_record {
    struct sfl_kept_lead lead; // without the error
    bool has_error;
    struct sfl_outcome_parts error;
    uint64_t error_retain_ms;
};

// The beginning of a record, for its key: the token, or a run's number.
struct sfl_record_start {
    uint64_t key;
    struct sfl_outcome *outcome; // borrowed; NULL: nothing follows the beginning
    size_t size;                 // of the bytes
};

// How large a beginning becomes, and writes it into `at`, which has any alignment. An outcome is
// retained from `now_us` on.
struct sfl_record_start sfl_record_start_outcome(const struct sfl_kept *kept);
void sfl_record_put_outcome(uint8_t *at, const struct sfl_kept *kept, uint64_t now_us);
struct sfl_record_start sfl_record_start_lead(const struct sfl_kept_lead *lead);
void sfl_record_put_lead(uint8_t *at, const struct sfl_kept_lead *lead);
struct sfl_record_start sfl_record_start_run(uint64_t number, const struct sfl_run *run);
void sfl_record_put_run(uint8_t *at, const struct sfl_run *run);

// Bytes of the whole record, and writes it.
size_t sfl_record_size(const struct sfl_record_start *start);
void sfl_record_write(uint8_t *at, const struct sfl_record_start *start, const uint8_t *beginning);

// Read a record. NULL when it is good, or what is wrong with it; then the last one is untouched.
const char *sfl_record_read(uint64_t token, struct sfl_span bytes, struct sfl_record *record_out);
const char *sfl_record_read_lead(uint64_t token, struct sfl_span bytes,
                                 struct sfl_lead_record *record_out);
const char *sfl_record_read_run(uint64_t number, struct sfl_span bytes, struct sfl_run *run_out);

// Reads an outcome of format 1, which had no checksum. The same otherwise.
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
