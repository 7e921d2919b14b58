// SPDX-License-Identifier: Apache-2.0
#include "security/security.h"

#include "base/clock.h"
#include "base/log.h"
#include "security/access_private.h"
#include "security/read_file_private.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sfl_security {
    struct sfl_security_options options;
    _Atomic uint64_t generation;
    _Atomic uint64_t denied[SFL_AUTH_DENIED_KINDS];
    pthread_mutex_t lock; // never held for longer than it takes to copy what follows
    struct sfl_access *access;
    uint64_t reloads;
    uint64_t reloads_failed;
    bool last_reload_was_good;
    uint64_t last_good_unix_ms;
    char problem[SFL_SECURITY_PROBLEM_MAX]; // of the last reload; empty: it had none
};

// --- the files ---

struct text {
    uint8_t *data; // NULL: there is no such file
    size_t size;
};

static enum sfl_status read_file(const char *path, struct text *text, char *problem)
{
    if (path == NULL)
        return SFL_OK;
    text->data = (uint8_t *)sfl_security_read_file(path, SFL_ACCESS_FILE_MIB, &text->size, problem);
    return text->data == NULL ? SFL_INVALID_ARGUMENT : SFL_OK;
}

static enum sfl_status read_snapshot(const struct sfl_security_options *options,
                                     uint64_t generation, struct sfl_access **access_out,
                                     char *problem)
{
    struct text tokens = {NULL, 0};
    struct text access = {NULL, 0};
    enum sfl_status status = read_file(options->token_file, &tokens, problem);
    if (status == SFL_OK)
        status = read_file(options->access_file, &access, problem);
    const struct sfl_access_files files = {
        .token_path = options->token_file,
        .token_text = sfl_span_of(tokens.data, tokens.size),
        .access_path = options->access_file,
        .access_text = sfl_span_of(access.data, access.size),
    };
    if (status == SFL_OK)
        status = sfl_access_create(&files, generation, access_out, problem);
    free(tokens.data);
    free(access.data);
    return status;
}

// --- life ---

enum sfl_status sfl_security_create(const struct sfl_security_options *options,
                                    struct sfl_security **security_out,
                                    char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    struct sfl_security *security = calloc(1, sizeof(*security));
    if (security == NULL) {
        sfl_security_problem(problem_out, "rights", 0, "no memory");
        return SFL_NO_MEMORY;
    }
    enum sfl_status status = read_snapshot(options, 1, &security->access, problem_out);
    if (status != SFL_OK) {
        free(security);
        return status;
    }
    security->options = *options;
    atomic_init(&security->generation, 1);
    pthread_mutex_init(&security->lock, NULL);
    security->last_reload_was_good = true;
    security->last_good_unix_ms = sfl_clock_wall_us() / 1000;
    *security_out = security;
    return SFL_OK;
}

void sfl_security_destroy(struct sfl_security *security)
{
    if (security == NULL)
        return;
    sfl_access_unref(security->access);
    pthread_mutex_destroy(&security->lock);
    free(security);
}

// --- reloads ---

static void note_failure(struct sfl_security *security, const char *problem)
{
    pthread_mutex_lock(&security->lock);
    snprintf(security->problem, sizeof(security->problem), "%s", problem);
    security->reloads++;
    security->reloads_failed++;
    security->last_reload_was_good = false;
    pthread_mutex_unlock(&security->lock);
}

// Takes the caller's reference, and returns the one to the snapshot before.
static struct sfl_access *exchange(struct sfl_security *security, struct sfl_access *access)
{
    uint64_t now_unix_ms = sfl_clock_wall_us() / 1000;
    pthread_mutex_lock(&security->lock);
    struct sfl_access *old = security->access;
    security->access = access;
    security->reloads++;
    security->last_reload_was_good = true;
    security->problem[0] = '\0';
    security->last_good_unix_ms = now_unix_ms;
    atomic_store_explicit(&security->generation, access->generation, memory_order_release);
    pthread_mutex_unlock(&security->lock);
    return old;
}

enum sfl_status sfl_security_reload(struct sfl_security *security,
                                    char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    struct sfl_access *access = NULL;
    uint64_t generation = sfl_security_generation(security) + 1;
    enum sfl_status status = read_snapshot(&security->options, generation, &access, problem_out);
    if (status != SFL_OK) {
        note_failure(security, problem_out);
        sfl_log(SFL_LOG_ERROR, "rights_not_reloaded", SFL_STR("reason", problem_out),
                SFL_STR("in_force", "the old ones"));
        return status;
    }
    uint64_t tokens = access->tokens == NULL ? 0 : sfl_tokens_count(access->tokens);
    uint64_t sections = access->section_count;
    sfl_access_unref(exchange(security, access));
    sfl_log(SFL_LOG_INFO, "rights_reloaded", SFL_U64("generation", generation),
            SFL_U64("tokens", tokens), SFL_U64("groups", sections));
    return SFL_OK;
}

struct sfl_access *sfl_security_snapshot(struct sfl_security *security)
{
    pthread_mutex_lock(&security->lock);
    struct sfl_access *access = sfl_access_ref(security->access);
    pthread_mutex_unlock(&security->lock);
    return access;
}

uint64_t sfl_security_generation(const struct sfl_security *security)
{
    return atomic_load_explicit(&security->generation, memory_order_acquire);
}

const _Atomic uint64_t *sfl_security_generation_in_force(const struct sfl_security *security)
{
    return &security->generation;
}

// --- counts ---

static const char *const denied_words[] = {
#define SFL_AUTH_DENIED_WORD(name, word) word,
    SFL_AUTH_DENIED_LIST(SFL_AUTH_DENIED_WORD)
#undef SFL_AUTH_DENIED_WORD
};

const char *sfl_auth_denied_word(enum sfl_auth_denied denied)
{
    assert(denied < SFL_AUTH_DENIED_KINDS);
    return denied_words[denied];
}

void sfl_security_count_denied(struct sfl_security *security, enum sfl_auth_denied denied)
{
    atomic_fetch_add_explicit(&security->denied[denied], 1, memory_order_relaxed);
}

struct sfl_security_counts sfl_security_counts(struct sfl_security *security)
{
    struct sfl_security_counts counts = {.reloads = 0};
    for (unsigned i = 0; i < SFL_AUTH_DENIED_KINDS; i++)
        counts.denied[i] = atomic_load_explicit(&security->denied[i], memory_order_relaxed);
    pthread_mutex_lock(&security->lock);
    counts.reloads = security->reloads;
    counts.reloads_failed = security->reloads_failed;
    counts.last_reload_was_good = security->last_reload_was_good;
    counts.last_good_unix_ms = security->last_good_unix_ms;
    pthread_mutex_unlock(&security->lock);
    return counts;
}

void sfl_security_get_problem(struct sfl_security *security,
                              char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    pthread_mutex_lock(&security->lock);
    memcpy(problem_out, security->problem, sizeof(security->problem));
    pthread_mutex_unlock(&security->lock);
}
