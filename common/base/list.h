// SPDX-License-Identifier: Apache-2.0
// An intrusive, circular, doubly linked list: no allocation, O(1) removal of a known member.
#ifndef SFL_BASE_LIST_H
#define SFL_BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct sfl_link {
    struct sfl_link *next;
    struct sfl_link *previous;
};

struct sfl_list {
    struct sfl_link head;
};

// The struct of `type` whose member `member` is `*link`.
#define SFL_CONTAINER_OF(link, type, member)                                                       \
    ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void sfl_list_init(struct sfl_list *list)
{
    list->head.next = &list->head;
    list->head.previous = &list->head;
}

static inline bool sfl_list_is_empty(const struct sfl_list *list)
{
    return list->head.next == &list->head;
}

// A link that is in no list has NULL pointers.
static inline void sfl_link_init(struct sfl_link *link)
{
    link->next = NULL;
    link->previous = NULL;
}

static inline bool sfl_link_is_linked(const struct sfl_link *link)
{
    return link->next != NULL;
}

static inline void sfl_list_append(struct sfl_list *list, struct sfl_link *link)
{
    link->previous = list->head.previous;
    link->next = &list->head;
    list->head.previous->next = link;
    list->head.previous = link;
}

static inline void sfl_list_prepend(struct sfl_list *list, struct sfl_link *link)
{
    link->previous = &list->head;
    link->next = list->head.next;
    list->head.next->previous = link;
    list->head.next = link;
}

// Puts a link behind one that is in a list.
static inline void sfl_link_insert_after(struct sfl_link *before, struct sfl_link *link)
{
    link->previous = before;
    link->next = before->next;
    before->next->previous = link;
    before->next = link;
}

// Takes a link out of whichever list it is in; nothing happens when it is in none.
static inline void sfl_link_remove(struct sfl_link *link)
{
    if (!sfl_link_is_linked(link))
        return;
    link->previous->next = link->next;
    link->next->previous = link->previous;
    sfl_link_init(link);
}

// The first link, or NULL; stays in the list.
static inline struct sfl_link *sfl_list_first(const struct sfl_list *list)
{
    return sfl_list_is_empty(list) ? NULL : list->head.next;
}

// The last link, or NULL; stays in the list.
static inline struct sfl_link *sfl_list_last(const struct sfl_list *list)
{
    assert(list->head.previous != NULL); // it has been initialised
    return sfl_list_is_empty(list) ? NULL : list->head.previous;
}

// The link after `link`, or NULL at the end.
static inline struct sfl_link *sfl_list_next(const struct sfl_list *list,
                                             const struct sfl_link *link)
{
    return link->next == &list->head ? NULL : link->next;
}

// The link before this one; NULL at the beginning.
static inline struct sfl_link *sfl_list_previous(const struct sfl_list *list,
                                                 const struct sfl_link *link)
{
    return link->previous == &list->head ? NULL : link->previous;
}

// Takes the first link out; NULL when the list is empty.
static inline struct sfl_link *sfl_list_pop(struct sfl_list *list)
{
    struct sfl_link *link = sfl_list_first(list);
    if (link != NULL)
        sfl_link_remove(link);
    return link;
}

// Moves all of `from` to the end of `to`, in O(1).
static inline void sfl_list_append_all(struct sfl_list *to, struct sfl_list *from)
{
    if (sfl_list_is_empty(from))
        return;
    from->head.next->previous = to->head.previous;
    from->head.previous->next = &to->head;
    to->head.previous->next = from->head.next;
    to->head.previous = from->head.previous;
    sfl_list_init(from);
}

#endif
