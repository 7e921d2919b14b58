// SPDX-License-Identifier: Apache-2.0
#include "engine/quotas.h"

#include "base/entropy.h"
#include "base/hash.h"
#include "core/index.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct sfl_quota quota;
    size_t name_size;
    uint8_t name[];
};

struct sfl_quotas {
    struct sfl_quotas_options options;
    uint64_t seed;        // a secret, so that nobody can choose names that collide
    pthread_mutex_t lock; // guards what follows
    struct sfl_index entries;
};

enum sfl_status sfl_quotas_create(const struct sfl_quotas_options *options,
                                  struct sfl_quotas **quotas_out)
{
    struct sfl_quotas *quotas = calloc(1, sizeof(*quotas));
    if (quotas == NULL)
        return SFL_NO_MEMORY;
    quotas->options = *options;
    quotas->seed = sfl_entropy_u64();
    pthread_mutex_init(&quotas->lock, NULL);
    sfl_index_init(&quotas->entries, &sfl_heap);
    *quotas_out = quotas;
    return SFL_OK;
}

void sfl_quotas_destroy(struct sfl_quotas *quotas)
{
    if (quotas == NULL)
        return;
    for (uint64_t i = 0; i < sfl_index_slots(&quotas->entries); i++) {
        struct entry *entry = sfl_index_at(&quotas->entries, i);
        if (entry == NULL)
            continue;
        sfl_quota_deinit(&entry->quota);
        free(entry);
    }
    sfl_index_deinit(&quotas->entries);
    pthread_mutex_destroy(&quotas->lock);
    free(quotas);
}

// --- under the lock ---

static struct entry *find(const struct sfl_quotas *quotas, uint64_t hash, struct sfl_span group)
{
    struct sfl_index_walk walk = {0};
    struct entry *entry;
    while ((entry = sfl_index_next(&quotas->entries, hash, &walk)) != NULL) {
        if (sfl_span_equal(sfl_span_of(entry->name, entry->name_size), group))
            return entry;
    }
    return NULL;
}

static struct entry *add(struct sfl_quotas *quotas, uint64_t hash, struct sfl_span group)
{
    if (!sfl_index_reserve(&quotas->entries))
        return NULL;
    struct entry *entry = malloc(sizeof(*entry) + group.size);
    if (entry == NULL)
        return NULL;
    struct sfl_quota_limits limits = quotas->options.limits_of(quotas->options.context, group);
    sfl_quota_init(&entry->quota, &limits);
    entry->name_size = group.size;
    memcpy(entry->name, group.data, group.size);
    sfl_index_insert(&quotas->entries, hash, entry);
    return entry;
}

// --- the outside ---

struct sfl_quota *sfl_quotas_find(void *context, struct sfl_span group)
{
    struct sfl_quotas *quotas = context;
    uint64_t hash = sfl_hash_stable(group, quotas->seed);
    pthread_mutex_lock(&quotas->lock);
    struct entry *entry = find(quotas, hash, group);
    if (entry == NULL)
        entry = add(quotas, hash, group);
    pthread_mutex_unlock(&quotas->lock);
    return entry == NULL ? NULL : &entry->quota;
}

void sfl_quotas_reload(struct sfl_quotas *quotas)
{
    pthread_mutex_lock(&quotas->lock);
    for (uint64_t i = 0; i < sfl_index_slots(&quotas->entries); i++) {
        struct entry *entry = sfl_index_at(&quotas->entries, i);
        if (entry == NULL)
            continue;
        struct sfl_span group = sfl_span_of(entry->name, entry->name_size);
        struct sfl_quota_limits limits = quotas->options.limits_of(quotas->options.context, group);
        sfl_quota_set(&entry->quota, &limits);
    }
    pthread_mutex_unlock(&quotas->lock);
}
