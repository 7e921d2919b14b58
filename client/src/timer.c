// SPDX-License-Identifier: Apache-2.0
#include "src/timer.h"

#include <stddef.h>

// The earlier one becomes the parent. Both are roots without siblings, or NULL.
static struct sfl_timer *meld(struct sfl_timer *a, struct sfl_timer *b)
{
    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    if (b->at_ms < a->at_ms) {
        struct sfl_timer *earlier = b;
        b = a;
        a = earlier;
    }
    b->before = a;
    b->sibling = a->child;
    if (a->child != NULL)
        a->child->before = b;
    a->child = b;
    return a;
}

// Makes one heap of a chain of siblings: in pairs from the left, then all from the right.
static struct sfl_timer *meld_siblings(struct sfl_timer *first)
{
    struct sfl_timer *pairs = NULL; // chained by `sibling`, the rightmost first
    while (first != NULL) {
        struct sfl_timer *a = first;
        struct sfl_timer *b = a->sibling;
        first = b == NULL ? NULL : b->sibling;
        a->sibling = a->before = NULL;
        if (b != NULL)
            b->sibling = b->before = NULL;
        struct sfl_timer *pair = meld(a, b);
        pair->sibling = pairs;
        pairs = pair;
    }
    struct sfl_timer *root = NULL;
    while (pairs != NULL) {
        struct sfl_timer *next = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

void sfl_timers_arm(struct sfl_timers *timers, struct sfl_timer *timer, uint64_t at_ms)
{
    sfl_timers_disarm(timers, timer);
    timer->at_ms = at_ms;
    timer->armed = true;
    timer->child = timer->sibling = timer->before = NULL;
    timers->root = meld(timers->root, timer);
}

void sfl_timers_remove(struct sfl_timers *timers, struct sfl_timer *timer)
{
    timer->armed = false;
    struct sfl_timer *children = meld_siblings(timer->child);
    timer->child = NULL;
    if (timers->root == timer) {
        timers->root = children;
        return;
    }
    if (timer->before->child == timer)
        timer->before->child = timer->sibling;
    else
        timer->before->sibling = timer->sibling;
    if (timer->sibling != NULL)
        timer->sibling->before = timer->before;
    timer->sibling = timer->before = NULL;
    timers->root = meld(timers->root, children);
}

uint64_t sfl_timers_next_ms(const struct sfl_timers *timers)
{
    return timers->root == NULL ? UINT64_MAX : timers->root->at_ms;
}

void sfl_timers_fire(struct sfl_timers *timers, uint64_t now_ms)
{
    while (timers->root != NULL && timers->root->at_ms <= now_ms) {
        struct sfl_timer *timer = timers->root;
        sfl_timers_disarm(timers, timer);
        timer->fire(timer);
    }
}
