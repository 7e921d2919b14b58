// SPDX-License-Identifier: Apache-2.0
#include "src/map.h"

#include <stdlib.h>
#include <string.h>

void sfl_map_init(struct sfl_map *map)
{
    memset(map, 0, sizeof(*map));
    map->slots = map->first_slots;
    map->slot_count = SFL_MAP_SLOTS_MIN;
}

void sfl_map_deinit(struct sfl_map *map)
{
    if (map->slots != map->first_slots)
        free(map->slots);
}

static struct sfl_map_node **slot_of(const struct sfl_map *map, uint64_t hash)
{
    return &map->slots[hash & (map->slot_count - 1)];
}

static void grow(struct sfl_map *map)
{
    size_t old_count = map->slot_count;
    struct sfl_map_node **old = map->slots;
    struct sfl_map_node **slots = calloc(old_count * 2, sizeof(struct sfl_map_node *));
    if (slots == NULL)
        return;
    map->slots = slots;
    map->slot_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        // Chains keep their order: what was found first is found first.
        struct sfl_map_node **low = &slots[i];
        struct sfl_map_node **high = &slots[i + old_count];
        for (struct sfl_map_node *node = old[i]; node != NULL; node = node->next) {
            struct sfl_map_node ***end = node->hash & old_count ? &high : &low;
            **end = node;
            *end = &node->next;
        }
        *low = NULL;
        *high = NULL;
    }
    if (old != map->first_slots)
        free(old);
}

void sfl_map_insert(struct sfl_map *map, struct sfl_map_node *node, uint64_t hash)
{
    if (map->count >= map->slot_count)
        grow(map);
    struct sfl_map_node **slot = slot_of(map, hash);
    node->hash = hash;
    node->next = *slot;
    node->linked = true;
    *slot = node;
    map->count++;
}

void sfl_map_remove(struct sfl_map *map, struct sfl_map_node *node)
{
    if (!node->linked)
        return;
    struct sfl_map_node **at = slot_of(map, node->hash);
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    node->next = NULL;
    node->linked = false;
    map->count--;
}

static struct sfl_map_node *first_with(struct sfl_map_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash)
        node = node->next;
    return node;
}

struct sfl_map_node *sfl_map_find(const struct sfl_map *map, uint64_t hash)
{
    return first_with(*slot_of(map, hash), hash);
}

struct sfl_map_node *sfl_map_find_next(const struct sfl_map_node *node)
{
    return first_with(node->next, node->hash);
}
