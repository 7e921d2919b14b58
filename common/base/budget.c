// SPDX-License-Identifier: Apache-2.0
#include "base/budget.h"

#include <assert.h>

// Advances smaller than this part of the largest one are not worth the trouble of closing.
enum { WORTH_WHILE = 8 };

void sfl_budget_init(struct sfl_budget *budget, uint64_t advance_max)
{
    pthread_mutex_init(&budget->lock, NULL);
    budget->advance_max = advance_max;
    budget->share_count = 0;
    sfl_list_init(&budget->open);
    atomic_init(&budget->granted, 0);
}

void sfl_budget_deinit(struct sfl_budget *budget)
{
    assert(budget->share_count == 0 && atomic_load(&budget->granted) == 0);
    pthread_mutex_destroy(&budget->lock);
}

// --- under the lock ---

static uint64_t granted(const struct sfl_budget *budget)
{
    return atomic_load_explicit(&budget->granted, memory_order_relaxed);
}

static void add_granted(struct sfl_budget *budget, uint64_t amount)
{
    atomic_store_explicit(&budget->granted, granted(budget) + amount, memory_order_relaxed);
}

static void subtract_granted(struct sfl_budget *budget, uint64_t amount)
{
    assert(granted(budget) >= amount);
    atomic_store_explicit(&budget->granted, granted(budget) - amount, memory_order_relaxed);
}

// From here on everything that is taken from the share, or given to it, waits for the lock.
static void close_share(struct sfl_share *share)
{
    int64_t left = atomic_exchange_explicit(&share->left, SFL_SHARE_CLOSED, memory_order_relaxed);
    assert(left >= 0);
    sfl_link_remove(&share->in_open);
    subtract_granted(share->budget, (uint64_t)left);
}

static void close_all(struct sfl_budget *budget)
{
    struct sfl_link *link;
    while ((link = sfl_list_first(&budget->open)) != NULL)
        close_share(SFL_CONTAINER_OF(link, struct sfl_share, in_open));
}

// What a share may have in advance: all of them together at most half of what is free.
static uint64_t advance_of(const struct sfl_budget *budget, uint64_t max)
{
    uint64_t advance = (max - granted(budget)) / (2 * budget->share_count);
    if (advance > budget->advance_max)
        return budget->advance_max;
    return advance < budget->advance_max / WORTH_WHILE ? 0 : advance;
}

static void advance(struct sfl_share *share, uint64_t max)
{
    struct sfl_budget *budget = share->budget;
    int64_t amount = (int64_t)advance_of(budget, max);
    if (amount == 0)
        return;
    add_granted(budget, (uint64_t)amount);
    if (sfl_link_is_linked(&share->in_open)) {
        atomic_fetch_add_explicit(&share->left, amount, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&share->most, 2 * amount, memory_order_relaxed);
    atomic_store_explicit(&share->left, amount, memory_order_relaxed);
    sfl_list_append(&budget->open, &share->in_open);
}

// --- the outside ---

void sfl_budget_recall(struct sfl_budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    close_all(budget);
    pthread_mutex_unlock(&budget->lock);
}

uint64_t sfl_budget_used(struct sfl_budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    uint64_t used = granted(budget);
    const struct sfl_link *link = sfl_list_first(&budget->open);
    for (; link != NULL; link = sfl_list_next(&budget->open, link)) {
        const struct sfl_share *share = SFL_CONTAINER_OF(link, struct sfl_share, in_open);
        used -= (uint64_t)atomic_load_explicit(&share->left, memory_order_acquire);
    }
    pthread_mutex_unlock(&budget->lock);
    return used;
}

void sfl_share_init(struct sfl_share *share, struct sfl_budget *budget)
{
    atomic_init(&share->left, SFL_SHARE_CLOSED);
    atomic_init(&share->most, 0);
    share->budget = budget;
    sfl_link_init(&share->in_open);
    pthread_mutex_lock(&budget->lock);
    budget->share_count++;
    pthread_mutex_unlock(&budget->lock);
}

void sfl_share_deinit(struct sfl_share *share)
{
    pthread_mutex_lock(&share->budget->lock);
    if (sfl_link_is_linked(&share->in_open))
        close_share(share);
    share->budget->share_count--;
    pthread_mutex_unlock(&share->budget->lock);
}

bool sfl_share_take_from_budget(struct sfl_share *share, uint64_t amount, uint64_t max)
{
    struct sfl_budget *budget = share->budget;
    pthread_mutex_lock(&budget->lock);
    if (amount > max || granted(budget) > max - amount)
        close_all(budget);
    bool fits = amount <= max && granted(budget) <= max - amount;
    if (fits) {
        add_granted(budget, amount);
        advance(share, max);
    }
    pthread_mutex_unlock(&budget->lock);
    return fits;
}

void sfl_share_give_to_budget(struct sfl_share *share, uint64_t amount)
{
    struct sfl_budget *budget = share->budget;
    pthread_mutex_lock(&budget->lock);
    if (sfl_link_is_linked(&share->in_open)) {
        // Half of the most stays, so that neither the next take nor the next give comes here.
        int64_t half = atomic_load_explicit(&share->most, memory_order_relaxed) / 2;
        int64_t left = atomic_exchange_explicit(&share->left, 0, memory_order_relaxed);
        amount += (uint64_t)left;
        int64_t kept = amount < (uint64_t)half ? (int64_t)amount : half;
        amount -= (uint64_t)kept;
        atomic_fetch_add_explicit(&share->left, kept, memory_order_relaxed);
    }
    subtract_granted(budget, amount);
    pthread_mutex_unlock(&budget->lock);
}
