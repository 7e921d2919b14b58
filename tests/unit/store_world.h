// SPDX-License-Identifier: Apache-2.0
// A store in a folder of its own, what is put into it, and what comes out of it.
#ifndef SFL_TESTS_STORE_WORLD_H
#define SFL_TESTS_STORE_WORLD_H

#include "core/limits.h"
#include "store/store.h"

#include <stdatomic.h>

enum { STORE_LOST_MAX = 4096, STORE_FOUND_MAX = 4096 };

struct store_world {
    char directory[64];
    char path[96]; // of its data.mdb
    struct sfl_store_options options;
    struct sfl_store *store; // NULL while it is closed
    struct sfl_budget held_bytes;
    struct sfl_share share;
    struct sfl_held held; // what outcomes are charged to
    uint64_t lost[STORE_LOST_MAX];
    atomic_uint lost_count;
    atomic_uint changes;
};

// As cmocka wants them; *state becomes a world whose store is open.
int store_world_set_up(void **state);
int store_world_tear_down(void **state);

void store_world_open(struct store_world *world);
void store_world_close(struct store_world *world);
void store_world_reopen(struct store_world *world);

// Opens it in vain, and returns the reason.
const char *store_world_refused(struct store_world *world, enum sfl_status status);

// An outcome with one reference; texts are "texts".
struct sfl_outcome *store_outcome(struct store_world *world, uint64_t token, struct sfl_span value,
                                  uint64_t retain_ms);

// Queues an outcome. False when the store does not take it.
bool store_retain(struct store_world *world, const char *key, uint64_t token, struct sfl_span value,
                  uint64_t retain_ms);

// Queues a lead, whose other fields follow from its token. False when the store does not take it.
bool store_lead(struct store_world *world, const char *key, uint64_t token, bool forgotten,
                struct sfl_outcome *error);

// Queues one that has no record yet, and waits for the answer to "is it on disk?".
bool store_new_lead_is_written(struct store_world *world, uint64_t token, bool forgotten);

// Waits for the answer to "is it on disk?".
bool store_is_written(struct store_world *world, uint64_t token);

// What a load finds, newest first; texts are copies.
struct found {
    unsigned count;
    uint64_t tokens[STORE_FOUND_MAX];
    struct sfl_stored last;
    uint8_t value[1 << 17];
    char texts[16];
    char key[16];
    unsigned lead_count;
    uint64_t lead_tokens[STORE_FOUND_MAX];
    bool lead_forgotten[STORE_FOUND_MAX];
    uint64_t lead_error_tokens[STORE_FOUND_MAX]; // 0: none
    char lead_error_texts[16];                   // of the last one
    unsigned run_count;
    uint64_t run_numbers[STORE_FOUND_MAX];
};
struct found *store_load(struct store_world *world);
bool store_has(struct store_world *world, uint64_t token);
bool store_has_lead(struct store_world *world, uint64_t token);

#endif
