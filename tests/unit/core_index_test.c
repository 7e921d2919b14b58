// SPDX-License-Identifier: Apache-2.0
// The index against a model: an array that is searched from end to end.
#include "core/index.h"
#include "support/choice.h"
#include "support/world.h"

enum { ENTRIES = 300, HASHES = 40, STEPS = 60000 };

struct entry {
    uint64_t hash;
    bool present;
};

static void open_index(struct sfl_index *index, struct memory *memory)
{
    memory_init(memory);
    sfl_index_init(index, &memory->allocator);
}

// Nothing may be left of it.
static void close_index(struct sfl_index *index, const struct memory *memory)
{
    sfl_index_deinit(index);
    assert_int_equal(memory->blocks, 0);
}

static unsigned count_by_walk(const struct sfl_index *index, uint64_t hash,
                              const struct entry *entries, unsigned seen[ENTRIES])
{
    unsigned count = 0;
    struct sfl_index_walk walk = {0};
    struct entry *entry;
    while ((entry = sfl_index_next(index, hash, &walk)) != NULL) {
        assert_int_equal(entry->hash, hash);
        assert_true(entry->present);
        seen[entry - entries]++;
        count++;
    }
    return count;
}

static void check_against_model(const struct sfl_index *index, const struct entry *entries,
                                uint64_t hash)
{
    unsigned seen[ENTRIES] = {0};
    unsigned expected = 0;
    for (unsigned i = 0; i < ENTRIES; i++)
        expected += entries[i].present && entries[i].hash == hash;
    assert_int_equal(count_by_walk(index, hash, entries, seen), expected);
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_true(seen[i] <= 1);
}

// Hashes that fall into one neighbourhood, so that runs of slots grow, meet and wrap around.
static uint64_t crowded_hash(uint32_t n)
{
    return n % 3 == 0 ? UINT64_MAX - n / 3 : n / 3;
}

static void random_operations_agree_with_a_model(void **state)
{
    (void)state;
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    struct entry entries[ENTRIES] = {0};
    struct choice choice = choice_of_seed(1);
    unsigned present = 0;
    for (unsigned n = 0; n < STEPS; n++) {
        // The crowd swells and shrinks in turns.
        bool grows = n / 6000 % 2 == 0;
        struct entry *entry = &entries[choice_below(&choice, ENTRIES)];
        if (!entry->present && (grows || choice_one_in(&choice, 8))) {
            entry->hash = crowded_hash(choice_below(&choice, HASHES));
            assert_true(sfl_index_reserve(&index));
            sfl_index_insert(&index, entry->hash, entry);
            entry->present = true;
            present++;
        } else if (entry->present) {
            sfl_index_remove(&index, entry->hash, entry);
            entry->present = false;
            present--;
        }
        assert_int_equal(index.count, present);
        check_against_model(&index, entries, crowded_hash(choice_below(&choice, HASHES)));
    }
    close_index(&index, &memory);
}

static void an_empty_index_finds_nothing(void **state)
{
    (void)state;
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    struct sfl_index_walk walk = {0};
    assert_null(sfl_index_next(&index, 7, &walk));
    assert_int_equal(memory.blocks, 0);
    close_index(&index, &memory);
}

static void entries_of_one_hash_stand_side_by_side(void **state)
{
    (void)state;
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    struct entry entries[ENTRIES] = {0};
    for (unsigned i = 0; i < ENTRIES; i++) {
        entries[i] = (struct entry){.hash = 5, .present = true};
        assert_true(sfl_index_reserve(&index));
        sfl_index_insert(&index, 5, &entries[i]);
    }
    check_against_model(&index, entries, 5);
    for (unsigned i = 0; i < ENTRIES; i += 2) {
        sfl_index_remove(&index, 5, &entries[i]);
        entries[i].present = false;
    }
    check_against_model(&index, entries, 5);
    close_index(&index, &memory);
}

static void without_memory_reserve_says_so_and_changes_nothing(void **state)
{
    (void)state;
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    memory_fail(&memory, 1, 1);
    assert_false(sfl_index_reserve(&index));
    assert_true(sfl_index_reserve(&index));

    struct entry entries[ENTRIES] = {0};
    unsigned count = 0;
    uint64_t capacity = index.now.capacity;
    memory_fail(&memory, 1, UINT32_MAX);
    while (count < ENTRIES && sfl_index_reserve(&index)) {
        entries[count] = (struct entry){.hash = count % 7, .present = true};
        sfl_index_insert(&index, entries[count].hash, &entries[count]);
        count++;
    }
    assert_true(count > 0);
    assert_true(count < ENTRIES);
    assert_int_equal(index.now.capacity, capacity);
    assert_int_equal(index.count, count);
    for (uint64_t hash = 0; hash < 7; hash++)
        check_against_model(&index, entries, hash);
    memory_fail_never(&memory);
    close_index(&index, &memory);
}

static uint64_t scattered_hash(uint64_t n)
{
    return n * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

static bool is_found(const struct sfl_index *index, const struct entry *entry)
{
    struct sfl_index_walk walk = {0};
    const struct entry *found;
    do {
        found = sfl_index_next(index, entry->hash, &walk);
    } while (found != NULL && found != entry);
    return found == entry;
}

// How much of it is done with one entry, and that everything is found all the while.
static void a_large_index_grows_a_little_with_each_entry(void **state)
{
    (void)state;
    enum { MANY = 100000, AT_ONCE = 32, RUN_MAX = 200, CLEARED_MAX = 64 };
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    static struct entry entries[MANY];
    unsigned grown = 0;
    for (unsigned i = 0; i < MANY; i++) {
        struct sfl_index before = index;
        assert_true(sfl_index_reserve(&index));
        if (index.next.slots != NULL) {
            bool goes_on = before.next.slots != NULL;
            assert_true(index.cleared - (goes_on ? before.cleared : 0) <= CLEARED_MAX);
            assert_true(index.moved - (goes_on ? before.moved : 0) <= AT_ONCE + RUN_MAX);
            grown++;
        }
        entries[i] = (struct entry){.hash = scattered_hash(i), .present = true};
        sfl_index_insert(&index, entries[i].hash, &entries[i]);
        const struct entry *some = &entries[i * UINT64_C(7919) % (i + 1)];
        assert_true(is_found(&index, some));
    }
    assert_true(grown > MANY / 32);
    assert_true(index.count <= index.now.capacity / 4 * 3);
    for (unsigned i = 0; i < MANY; i++)
        sfl_index_remove(&index, entries[i].hash, &entries[i]);
    assert_int_equal(index.count, 0);
    close_index(&index, &memory);
}

// A flood goes; its array goes with it, a little with each entry.
static void a_large_index_shrinks_a_little_with_each_entry_that_goes(void **state)
{
    (void)state;
    enum { MANY = 100000, FEW = 100, AT_ONCE = 32, RUN_MAX = 200, CLEARED_MAX = 64 };
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    static struct entry entries[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        entries[i] = (struct entry){.hash = scattered_hash(i), .present = true};
        assert_true(sfl_index_reserve(&index));
        sfl_index_insert(&index, entries[i].hash, &entries[i]);
    }
    uint64_t largest = memory.bytes;
    for (unsigned i = MANY; i > FEW; i--) {
        struct sfl_index before = index;
        sfl_index_remove(&index, entries[i - 1].hash, &entries[i - 1]);
        bool goes_on = before.next.slots != NULL && index.next.slots == before.next.slots;
        if (index.next.slots != NULL) {
            assert_true(index.cleared - (goes_on ? before.cleared : 0) <= CLEARED_MAX);
            assert_true(index.moved - (goes_on ? before.moved : 0) <= AT_ONCE + RUN_MAX);
        }
        if (i % 512 == 0) { // others come meanwhile
            assert_true(sfl_index_reserve(&index));
            sfl_index_insert(&index, entries[i - 1].hash, &entries[i - 1]);
            assert_true(is_found(&index, &entries[i - 1]));
            sfl_index_remove(&index, entries[i - 1].hash, &entries[i - 1]);
        }
        assert_true(is_found(&index, &entries[i * UINT64_C(7919) % (i - 1)]));
    }
    assert_int_equal(index.count, FEW);
    assert_true(memory.bytes < largest / 64);
    for (unsigned i = 0; i < FEW; i++)
        sfl_index_remove(&index, entries[i].hash, &entries[i]);
    close_index(&index, &memory);
}

// Whatever comes back while an index shrinks finds room.
static void an_index_that_shrinks_may_grow_again_at_once(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    static struct entry entries[MANY];
    unsigned present = 0;
    for (unsigned turn = 0; turn < 400; turn++) {
        unsigned wanted = turn % 2 == 0 ? MANY : MANY / (10 + turn);
        for (; present < wanted; present++) {
            entries[present] = (struct entry){.hash = scattered_hash(present), .present = true};
            assert_true(sfl_index_reserve(&index));
            sfl_index_insert(&index, entries[present].hash, &entries[present]);
        }
        for (; present > wanted; present--)
            sfl_index_remove(&index, entries[present - 1].hash, &entries[present - 1]);
        assert_int_equal(index.count, present);
        assert_true(is_found(&index, &entries[present - 1]));
        assert_true(is_found(&index, &entries[present / 2]));
    }
    while (present > 0) {
        present--;
        sfl_index_remove(&index, entries[present].hash, &entries[present]);
    }
    close_index(&index, &memory);
}

static void without_memory_an_index_stays_as_large_as_it_is(void **state)
{
    (void)state;
    enum { MANY = 4000 };
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    static struct entry entries[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        entries[i] = (struct entry){.hash = scattered_hash(i), .present = true};
        assert_true(sfl_index_reserve(&index));
        sfl_index_insert(&index, entries[i].hash, &entries[i]);
    }
    uint64_t capacity = index.now.capacity;
    memory_fail(&memory, 1, UINT32_MAX);
    for (unsigned i = MANY; i > 1; i--) {
        sfl_index_remove(&index, entries[i - 1].hash, &entries[i - 1]);
        assert_true(is_found(&index, &entries[0]));
    }
    assert_int_equal(index.now.capacity, capacity);
    memory_fail_never(&memory);
    sfl_index_remove(&index, entries[0].hash, &entries[0]);
    close_index(&index, &memory);
}

static void every_entry_stands_in_one_slot_also_while_the_index_grows(void **state)
{
    (void)state;
    struct memory memory;
    struct sfl_index index;
    open_index(&index, &memory);
    struct entry entries[ENTRIES];
    for (unsigned i = 0; i < ENTRIES; i++) {
        entries[i] = (struct entry){.hash = scattered_hash(i), .present = true};
        assert_true(sfl_index_reserve(&index));
        sfl_index_insert(&index, entries[i].hash, &entries[i]);
        unsigned seen[ENTRIES] = {0};
        for (uint64_t slot = 0; slot < sfl_index_slots(&index); slot++) {
            const struct entry *entry = sfl_index_at(&index, slot);
            if (entry != NULL)
                seen[entry - entries]++;
        }
        for (unsigned j = 0; j < ENTRIES; j++)
            assert_int_equal(seen[j], j <= i ? 1 : 0);
        uint64_t slot = i;
        assert_true(((struct entry *)sfl_index_any(&index, &slot))->present);
    }
    close_index(&index, &memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_a_model),
        cmocka_unit_test(an_empty_index_finds_nothing),
        cmocka_unit_test(entries_of_one_hash_stand_side_by_side),
        cmocka_unit_test(without_memory_reserve_says_so_and_changes_nothing),
        cmocka_unit_test(a_large_index_grows_a_little_with_each_entry),
        cmocka_unit_test(a_large_index_shrinks_a_little_with_each_entry_that_goes),
        cmocka_unit_test(an_index_that_shrinks_may_grow_again_at_once),
        cmocka_unit_test(without_memory_an_index_stays_as_large_as_it_is),
        cmocka_unit_test(every_entry_stands_in_one_slot_also_while_the_index_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
