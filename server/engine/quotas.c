// SPDX-License-Identifier: Apache-2.0
#include "engine/quotas.h"

#include "base/entropy.h"
#include "base/hash.h"
#include "base/list.h"
#include "core/index.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { VISIT_SLOTS = 512 }; // places that one visit looks at

struct entry {
    struct sfl_quota quota;
    struct sfl_link in_all;
    uint64_t hash;
    uint64_t users; // under the lock
    size_t name_size;
    uint8_t name[];
};

struct sfl_quotas {
    struct sfl_quotas_options options;
    uint64_t seed;        // a secret, so that nobody can choose names that collide
    pthread_mutex_t lock; // guards what follows
    struct sfl_index entries;
    struct sfl_list all; // the same, in the order in which they are asked for anew
};

// So many are asked for anew before others have the lock again.
enum { AT_ONCE = 64 };

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
    sfl_list_init(&quotas->all);
    *quotas_out = quotas;
    return SFL_OK;
}

void sfl_quotas_destroy(struct sfl_quotas *quotas)
{
    if (quotas == NULL)
        return;
    assert(sfl_list_is_empty(&quotas->all));
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
    entry->hash = hash;
    entry->users = 0;
    entry->name_size = group.size;
    memcpy(entry->name, group.data, group.size);
    sfl_index_insert(&quotas->entries, hash, entry);
    sfl_link_init(&entry->in_all);
    sfl_list_append(&quotas->all, &entry->in_all);
    return entry;
}

static void drop(struct sfl_quotas *quotas, struct entry *entry)
{
    if (--entry->users > 0)
        return;
    sfl_index_remove(&quotas->entries, entry->hash, entry);
    sfl_link_remove(&entry->in_all);
    sfl_quota_deinit(&entry->quota);
    free(entry);
}

// Takes a reference to each of some entries, the first of the list, which go to its end. How many.
static size_t take_some(struct sfl_quotas *quotas, uint64_t count_max, struct entry **entries_out)
{
    size_t count = 0;
    struct sfl_link *link;
    while (count < count_max && (link = sfl_list_pop(&quotas->all)) != NULL) {
        struct entry *entry = SFL_CONTAINER_OF(link, struct entry, in_all);
        sfl_list_append(&quotas->all, link);
        entry->users++;
        entries_out[count++] = entry;
    }
    return count;
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
    if (entry != NULL)
        entry->users++;
    pthread_mutex_unlock(&quotas->lock);
    return entry == NULL ? NULL : &entry->quota;
}

void sfl_quotas_release(void *context, struct sfl_quota *quota)
{
    struct sfl_quotas *quotas = context;
    pthread_mutex_lock(&quotas->lock);
    drop(quotas, SFL_CONTAINER_OF(quota, struct entry, quota));
    pthread_mutex_unlock(&quotas->lock);
}

bool sfl_quotas_visit(struct sfl_quotas *quotas, uint64_t *cursor,
                      void (*visit)(void *context, struct sfl_span group, struct sfl_quota *quota),
                      void *context)
{
    pthread_mutex_lock(&quotas->lock);
    uint64_t slots = sfl_index_slots(&quotas->entries);
    uint64_t end = *cursor + VISIT_SLOTS < slots ? *cursor + VISIT_SLOTS : slots;
    for (; *cursor < end; (*cursor)++) {
        struct entry *entry = sfl_index_at(&quotas->entries, *cursor);
        if (entry != NULL)
            visit(context, sfl_span_of(entry->name, entry->name_size), &entry->quota);
    }
    pthread_mutex_unlock(&quotas->lock);
    return end < slots;
}

static void reload(const struct sfl_quotas *quotas, struct entry *entry)
{
    struct sfl_span group = sfl_span_of(entry->name, entry->name_size);
    struct sfl_quota_limits limits = quotas->options.limits_of(quotas->options.context, group);
    sfl_quota_set(&entry->quota, &limits);
}

// Those that come meanwhile are made with what holds now, and come last.
void sfl_quotas_reload(struct sfl_quotas *quotas)
{
    struct entry *entries[AT_ONCE];
    pthread_mutex_lock(&quotas->lock);
    uint64_t left = quotas->entries.count;
    while (left > 0) {
        size_t count = take_some(quotas, left < AT_ONCE ? left : AT_ONCE, entries);
        left = count == 0 ? 0 : left - count;
        pthread_mutex_unlock(&quotas->lock);
        for (size_t i = 0; i < count; i++)
            reload(quotas, entries[i]);
        pthread_mutex_lock(&quotas->lock);
        for (size_t i = 0; i < count; i++)
            drop(quotas, entries[i]);
    }
    pthread_mutex_unlock(&quotas->lock);
}
