// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/file.h"
#include "store/tokens.h"
#include "store/writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

// What the file may take before it is mapped anew: twice the payload, for a file of pages needs
// room beside what it replaces.
#define MAP_BYTES_MIN (UINT64_C(64) << 20)

struct sfl_store {
    struct sfl_file *file;
    struct sfl_tokens tokens;
    struct sfl_writer *writer;
};

static_assert((int)SFL_STORE_ERROR_MAX == (int)SFL_FILE_ERROR_MAX, "one text serves both");

static void on_tokens_wanted(void *context)
{
    struct sfl_store *store = context;
    if (store->writer != NULL)
        sfl_writer_want_tokens(store->writer);
}

// Writes that tokens up to `*context` may be granted.
static int put_tokens(struct sfl_file *file, void *context)
{
    return sfl_file_put_tokens(file, *(const uint64_t *)context);
}

static enum sfl_status open_file(struct sfl_store *store, const struct sfl_store_options *options,
                                 char *error_out)
{
    uint64_t tokens;
    uint64_t map_bytes = options->retained_bytes_max * 2 + MAP_BYTES_MIN;
    enum sfl_status status =
        sfl_file_open(options->directory, map_bytes, &store->file, &tokens, error_out);
    if (status != SFL_OK)
        return status;
    uint64_t wall_us = sfl_clock_wall_us();
    sfl_tokens_init(&store->tokens, tokens > wall_us ? tokens : wall_us, on_tokens_wanted, store);
    uint64_t reserved = sfl_tokens_next_block(&store->tokens);
    int code = sfl_file_write(store->file, put_tokens, &reserved);
    if (code != 0) {
        snprintf(error_out, SFL_STORE_ERROR_MAX, "%s: %s", options->directory,
                 sfl_file_reason(store->file, code));
        return SFL_UNAVAILABLE;
    }
    sfl_tokens_reserve(&store->tokens, reserved);
    return SFL_OK;
}

static void free_store(struct sfl_store *store)
{
    if (store->file != NULL)
        sfl_file_close(store->file);
    free(store);
}

enum sfl_status sfl_store_open(const struct sfl_store_options *options,
                               struct sfl_store **store_out,
                               char error_out[static SFL_STORE_ERROR_MAX])
{
    snprintf(error_out, SFL_STORE_ERROR_MAX, "%s: out of memory", options->directory);
    struct sfl_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return SFL_NO_MEMORY;
    enum sfl_status status = open_file(store, options, error_out);
    if (status == SFL_OK)
        status = sfl_writer_create(store->file, &store->tokens, options, &store->writer);
    if (status != SFL_OK) {
        free_store(store);
        return status;
    }
    *store_out = store;
    return SFL_OK;
}

bool sfl_store_close(struct sfl_store *store, uint64_t wait_ms)
{
    if (!sfl_writer_destroy(store->writer, wait_ms))
        return false;
    store->writer = NULL;
    free_store(store);
    return true;
}

struct load {
    struct sfl_store *store;
    uint64_t now_us;
    const struct sfl_store_loader *loader;
};

static struct sfl_stored stored_of(const struct sfl_record *record, uint64_t now_us)
{
    // A wall clock that went back must not make a retention longer than it was.
    uint64_t whole_us = record->until_us - record->ended_at_us;
    uint64_t left_us = record->until_us - now_us;
    if (left_us > whole_us)
        left_us = whole_us;
    return (struct sfl_stored){
        .token = record->token,
        .attempt = record->attempt,
        .callers = record->callers,
        .kind = record->kind,
        .age_ms = (whole_us - left_us) / 1000,
        .left_ms = left_us / 1000,
        .group = record->group,
        .key = record->key,
        .fingerprint = record->fingerprint,
        .texts = record->texts,
        .value = record->value,
    };
}

static const char *load_outcome(void *context, uint64_t token, struct sfl_span bytes)
{
    const struct load *load = context;
    struct sfl_record record;
    const char *fault = sfl_record_read(token, bytes, &record);
    if (fault != NULL)
        return fault;
    if (record.until_us > load->now_us) {
        struct sfl_stored stored = stored_of(&record, load->now_us);
        if (load->loader->outcome(load->loader->context, &stored))
            return NULL;
    }
    sfl_store_drop(load->store, token);
    return NULL;
}

static const char *load_lead(void *context, uint64_t token, struct sfl_span bytes)
{
    const struct load *load = context;
    struct sfl_lead_record record;
    const char *fault = sfl_record_read_lead(token, bytes, &record);
    if (fault != NULL)
        return fault;
    const struct sfl_stored_lead stored = {record.lead, record.has_error ? &record.error : NULL,
                                           record.error_retain_ms};
    if (!load->loader->lead(load->loader->context, &stored))
        sfl_store_unlead(load->store, token);
    return NULL;
}

static const char *load_run(void *context, uint64_t number, struct sfl_span bytes)
{
    const struct load *load = context;
    struct sfl_run run;
    const char *fault = sfl_record_read_run(number, bytes, &run);
    if (fault == NULL && !load->loader->run(load->loader->context, number, &run))
        sfl_writer_delete(load->store->writer, SFL_FILE_RUNS, number);
    return fault;
}

enum sfl_status sfl_store_load(struct sfl_store *store, const struct sfl_store_loader *loader)
{
    struct load load = {store, sfl_clock_wall_us(), loader};
    sfl_writer_pause(store->writer);
    enum sfl_status status = sfl_file_read(store->file, SFL_FILE_OUTCOMES, load_outcome, &load);
    if (status == SFL_OK)
        status = sfl_file_read(store->file, SFL_FILE_LEADS, load_lead, &load);
    if (status == SFL_OK)
        status = sfl_file_read(store->file, SFL_FILE_RUNS, load_run, &load);
    sfl_writer_resume(store->writer);
    return status;
}

bool sfl_store_lead(struct sfl_store *store, const struct sfl_kept_lead *lead,
                    void (*on_written)(void *context, bool is_written), void *context)
{
    return sfl_writer_lead(store->writer, lead, on_written, context);
}

void sfl_store_unlead(struct sfl_store *store, uint64_t token)
{
    sfl_writer_delete(store->writer, SFL_FILE_LEADS, token);
}

bool sfl_store_retain(struct sfl_store *store, const struct sfl_kept *kept)
{
    return sfl_writer_retain(store->writer, kept);
}

void sfl_store_drop(struct sfl_store *store, uint64_t token)
{
    sfl_writer_delete(store->writer, SFL_FILE_OUTCOMES, token);
}

void sfl_store_run(struct sfl_store *store, uint64_t number, const struct sfl_run *run,
                   uint64_t removed)
{
    sfl_writer_run(store->writer, number, run);
    if (removed > 0)
        sfl_writer_delete(store->writer, SFL_FILE_RUNS, removed);
}

bool sfl_store_await(struct sfl_store *store, uint64_t token,
                     void (*on_written)(void *context, bool is_written), void *context)
{
    return sfl_writer_await(store->writer, token, on_written, context);
}

bool sfl_store_flush(struct sfl_store *store, uint64_t wait_ms)
{
    return sfl_writer_flush(store->writer, wait_ms);
}

uint64_t sfl_store_take_tokens(struct sfl_store *store, uint64_t count)
{
    return sfl_tokens_take(&store->tokens, count);
}

void sfl_store_count(struct sfl_store *store, struct sfl_store_counts *counts_out)
{
    sfl_writer_count(store->writer, counts_out);
}

struct sfl_keeper_state sfl_store_state(struct sfl_store *store)
{
    return sfl_writer_state(store->writer);
}
