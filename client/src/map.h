// SPDX-License-Identifier: Apache-2.0
// An intrusive hash map: nodes are embedded in what they stand for, and inserting never fails (when
// there is no memory to grow, chains get longer).
#ifndef SFL_CLIENT_MAP_H
#define SFL_CLIENT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sfl_map_node {
    struct sfl_map_node *next;
    uint64_t hash;
    bool linked;
};

#define SFL_MAP_SLOTS_MIN 16

struct sfl_map {
    struct sfl_map_node **slots; // a power of two of chains
    size_t slot_count;
    size_t count;
    struct sfl_map_node *first_slots[SFL_MAP_SLOTS_MIN];
};

void sfl_map_init(struct sfl_map *map);

// The map must be empty, or its nodes are never touched again.
void sfl_map_deinit(struct sfl_map *map);

// Several nodes may have one hash; the last one inserted is found first.
void sfl_map_insert(struct sfl_map *map, struct sfl_map_node *node, uint64_t hash);

// Nothing happens when the node is in no map.
void sfl_map_remove(struct sfl_map *map, struct sfl_map_node *node);

// The first node with this hash; NULL when there is none. The caller compares what it stands for,
// and goes on with sfl_map_find_next().
struct sfl_map_node *sfl_map_find(const struct sfl_map *map, uint64_t hash);
struct sfl_map_node *sfl_map_find_next(const struct sfl_map_node *node);

#endif
