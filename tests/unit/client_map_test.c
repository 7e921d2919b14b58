// SPDX-License-Identifier: Apache-2.0
#include "src/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES 1000

static void what_is_inserted_is_found_until_it_is_removed(void **state)
{
    (void)state;
    static struct sfl_map_node nodes[NODES];
    struct sfl_map map;
    sfl_map_init(&map);
    for (size_t i = 0; i < NODES; i++)
        sfl_map_insert(&map, &nodes[i], i * 2654435761u);
    for (size_t i = 0; i < NODES; i++)
        assert_ptr_equal(sfl_map_find(&map, i * 2654435761u), &nodes[i]);
    for (size_t i = 0; i < NODES; i += 2)
        sfl_map_remove(&map, &nodes[i]);
    for (size_t i = 0; i < NODES; i++)
        assert_ptr_equal(sfl_map_find(&map, i * 2654435761u), i % 2 == 0 ? NULL : &nodes[i]);
    assert_int_equal(map.count, NODES / 2);
    sfl_map_deinit(&map);
}

static void of_equal_hashes_the_last_one_comes_first_also_after_growing(void **state)
{
    (void)state;
    struct sfl_map_node equal[3] = {0};
    static struct sfl_map_node others[NODES];
    struct sfl_map map;
    sfl_map_init(&map);
    for (size_t i = 0; i < 3; i++)
        sfl_map_insert(&map, &equal[i], 42);
    for (size_t i = 0; i < NODES; i++)
        sfl_map_insert(&map, &others[i], 1000 + i);
    struct sfl_map_node *node = sfl_map_find(&map, 42);
    for (size_t i = 3; i-- > 0; node = sfl_map_find_next(node))
        assert_ptr_equal(node, &equal[i]);
    assert_null(node);
    sfl_map_deinit(&map);
}

static void removing_what_is_not_in_does_nothing(void **state)
{
    (void)state;
    struct sfl_map_node node = {0};
    struct sfl_map map;
    sfl_map_init(&map);
    sfl_map_remove(&map, &node);
    sfl_map_insert(&map, &node, 1);
    sfl_map_remove(&map, &node);
    sfl_map_remove(&map, &node);
    assert_null(sfl_map_find(&map, 1));
    sfl_map_deinit(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_inserted_is_found_until_it_is_removed),
        cmocka_unit_test(of_equal_hashes_the_last_one_comes_first_also_after_growing),
        cmocka_unit_test(removing_what_is_not_in_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
