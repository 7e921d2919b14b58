// SPDX-License-Identifier: Apache-2.0
// Data files that were cut, overwritten or changed by a disk, and those of other formats: each is
// either as good as before or refused in words, and never ends the process.
#define _GNU_SOURCE // memmem
#include "store/store.h"

#include <fcntl.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_world.h"
#include "support/choice.h"
#include "support/disk.h"
#include <cmocka.h>

enum { VALUE_MAX = 30000, KEEP = 300 };

static uint8_t bytes[VALUE_MAX];

// The file as it is now, which the caller frees.
struct image {
    uint8_t *bytes;
    size_t size;
};

static struct image read_image(const struct store_world *world)
{
    struct stat stat;
    int fd = open(world->path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &stat) == 0);
    struct image image = {malloc((size_t)stat.st_size), (size_t)stat.st_size};
    assert_int_equal(read(fd, image.bytes, image.size), image.size);
    close(fd);
    return image;
}

static void write_image(const struct store_world *world, const uint8_t *from, size_t size)
{
    int fd = open(world->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, from, size), size);
    close(fd);
}

// Keeps and drops outcomes of all sizes, in no order.
static void work(struct store_world *world, struct choice *choice, unsigned steps)
{
    static uint64_t tokens[KEEP];
    static uint64_t last = 1000;
    for (unsigned i = 0; i < steps; i++) {
        unsigned at = choice_below(choice, KEEP);
        if (tokens[at] != 0)
            sfl_store_drop(world->store, tokens[at]);
        tokens[at] = 0;
        if (choice_one_in(choice, 3))
            continue;
        unsigned size = choice_below(choice, choice_one_in(choice, 4) ? VALUE_MAX : 2500);
        tokens[at] = last += 1 + choice_below(choice, 5);
        char key[32];
        snprintf(key, sizeof(key), "key %u", at);
        assert_true(store_retain(world, key, tokens[at], sfl_span_of(bytes, size), 3600 * 1000));
        if (choice_one_in(choice, 20))
            assert_true(sfl_store_flush(world->store, UINT64_MAX));
    }
}

// A number that changes with whatever the store has.
static uint64_t sum(struct store_world *world)
{
    const struct found *found = store_load(world);
    uint64_t sum = found->count;
    for (unsigned i = 0; i < found->count; i++)
        sum = sum * 31 + found->tokens[i];
    return sum;
}

static void what_was_written_is_never_taken_for_damaged(void **state)
{
    struct store_world *world = *state;
    for (unsigned round = 0; round < 60; round++) {
        struct choice choice = choice_of_seed(round);
        work(world, &choice, 10 + choice_below(&choice, 400));
        assert_true(sfl_store_flush(world->store, UINT64_MAX));
        uint64_t before = sum(world);
        store_world_reopen(world);
        assert_int_equal(sum(world), before);
    }
}

// Opens what may be damaged. Refused, or all is there and it works.
static bool opens_as_before(struct store_world *world, uint64_t expected)
{
    char error[SFL_STORE_ERROR_MAX];
    enum sfl_status status = sfl_store_open(&world->options, &world->store, error);
    if (status != SFL_OK) {
        world->store = NULL;
        assert_int_equal(status, SFL_FAILED_PRECONDITION);
        assert_non_null(strstr(error, world->path));
        assert_non_null(strstr(error, "ove ")); // "move it away", or "remove"
        return false;
    }
    assert_int_equal(sum(world), expected);
    for (uint64_t token = 1; token <= 40; token++)
        assert_true(store_retain(world, "more", token, sfl_span_of(bytes, token * 97), 60000));
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    for (uint64_t token = 1; token <= 40; token++)
        sfl_store_drop(world->store, token);
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    store_world_reopen(world);
    assert_int_equal(sum(world), expected);
    store_world_close(world);
    return true;
}

static struct image make_image(struct store_world *world, uint64_t *sum_out)
{
    struct choice choice = choice_of_seed(1);
    work(world, &choice, 500);
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    *sum_out = sum(world);
    store_world_close(world);
    return read_image(world);
}

static void flip_bits(struct store_world *world, unsigned seeds, unsigned flips)
{
    uint64_t expected;
    unsigned good = 0;
    struct image image = make_image(world, &expected);
    uint8_t *damaged = malloc(image.size);
    for (unsigned seed = 0; seed < seeds; seed++) {
        struct choice choice = choice_of_seed(seed);
        memcpy(damaged, image.bytes, image.size);
        // Half of them among the heads, where little is free.
        for (unsigned i = 0; i < flips; i++) {
            uint32_t limit = choice_one_in(&choice, 2) ? 8192 : (uint32_t)image.size;
            damaged[choice_below(&choice, limit)] ^= (uint8_t)(1U << choice_below(&choice, 8));
        }
        write_image(world, damaged, image.size);
        good += opens_as_before(world, expected);
    }
    print_message("%u flips: %u of %u files opened\n", flips, good, seeds);
    free(damaged);
    free(image.bytes);
}

static void one_changed_bit_is_noticed_or_does_no_harm(void **state)
{
    flip_bits(*state, 600, 1);
}

static void a_few_changed_bits_are_noticed_or_do_no_harm(void **state)
{
    flip_bits(*state, 400, 4);
}

static void three_hundred_changed_bits_are_noticed(void **state)
{
    flip_bits(*state, 200, 300);
}

static void a_file_that_was_cut_is_refused(void **state)
{
    struct store_world *world = *state;
    uint64_t expected;
    struct image image = make_image(world, &expected);
    for (size_t size = 1; size < image.size; size += 1 + image.size / 300) {
        write_image(world, image.bytes, size);
        (void)opens_as_before(world, expected); // the last pages may be free
    }
    write_image(world, image.bytes, image.size / 2);
    assert_non_null(strstr(store_world_refused(world, SFL_FAILED_PRECONDITION),
                           "lies behind the end of the file"));
    free(image.bytes);
}

static void pages_that_were_overwritten_are_noticed_or_were_free(void **state)
{
    struct store_world *world = *state;
    uint64_t expected;
    struct image image = make_image(world, &expected);
    struct choice choice = choice_of_seed(7);
    size_t pages = image.size / 4096;
    uint8_t *damaged = malloc(image.size);
    for (unsigned i = 0; i < 300; i++) {
        size_t page = i < 20 ? i % 2 : choice_below(&choice, (uint32_t)pages);
        memcpy(damaged, image.bytes, image.size);
        if (choice_one_in(&choice, 2)) // by another page
            memcpy(damaged + page * 4096,
                   image.bytes + (size_t)choice_below(&choice, (uint32_t)pages) * 4096, 4096);
        else
            memset(damaged + page * 4096, (int)choice_below(&choice, 2) * 255, 4096);
        write_image(world, damaged, image.size);
        (void)opens_as_before(world, expected);
    }
    free(damaged);
    free(image.bytes);
}

static void what_is_no_data_file_is_refused(void **state)
{
    struct store_world *world = *state;
    static uint8_t junk[20000];
    store_world_close(world);
    const char *texts[] = {"no data file", "\xde\xc0\xef\xbe"};
    for (unsigned i = 0; i < 2; i++) {
        write_image(world, (const uint8_t *)texts[i], strlen(texts[i]));
        assert_non_null(strstr(store_world_refused(world, SFL_FAILED_PRECONDITION), "damaged"));
    }
    memset(junk, 0xAA, sizeof(junk));
    write_image(world, junk, sizeof(junk));
    assert_non_null(strstr(store_world_refused(world, SFL_FAILED_PRECONDITION), "damaged"));
}

static void an_empty_file_is_a_new_one(void **state)
{
    struct store_world *world = *state;
    store_world_close(world);
    write_image(world, bytes, 0);
    store_world_open(world);
    assert_int_equal(store_load(world)->count, 0);
}

// --- other formats ---

static void put(MDB_txn *txn, MDB_dbi table, const void *key, size_t key_size, const void *data,
                size_t size)
{
    MDB_val key_val = {key_size, (void *)key};
    MDB_val data_val = {size, (void *)data};
    assert_int_equal(mdb_put(txn, table, &key_val, &data_val, 0), 0);
}

// What a daemon of format 1 wrote: so many outcomes of `size` bytes, tokens from 1 on.
static void write_format_1(struct store_world *world, uint64_t format, unsigned count,
                           uint32_t size)
{
    struct {
        uint32_t attempt, callers, kind;
        uint16_t group_size, key_size, fingerprint_size, unused;
        uint32_t texts_size;
        uint64_t ended_at_us, until_us, value_size;
    } head = {2, 7, 2, 5, 3, 5, 0, 5, 1000, UINT64_MAX, size};
    MDB_env *environment;
    MDB_txn *txn;
    MDB_dbi retained;
    MDB_dbi meta;
    uint64_t tokens = UINT64_C(1) << 60;
    unlink(world->path);
    assert_int_equal(mdb_env_create(&environment), 0);
    mdb_env_set_maxdbs(environment, 2);
    mdb_env_set_mapsize(environment, 64 << 20);
    assert_int_equal(mdb_env_open(environment, world->directory, MDB_NOTLS, 0600), 0);
    assert_int_equal(mdb_txn_begin(environment, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "retained", MDB_CREATE | MDB_INTEGERKEY, &retained), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", MDB_CREATE, &meta), 0);
    put(txn, meta, "format", 6, &format, sizeof(format));
    put(txn, meta, "tokens", 6, &tokens, sizeof(tokens));
    uint8_t *record = calloc(1, sizeof(head) + 18 + size);
    for (uint64_t token = 1; token <= count; token++) {
        memcpy(record, &head, sizeof(head));
        memcpy(record + sizeof(head), "groupkeyprinttexts", 18);
        memset(record + sizeof(head) + 18, (int)token, size);
        put(txn, retained, &token, sizeof(token), record, sizeof(head) + 18 + size);
    }
    free(record);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(environment);
}

static void a_file_of_format_1_is_carried_over(void **state)
{
    struct store_world *world = *state;
    store_world_close(world);
    write_format_1(world, 1, 300, 50000); // more than one transaction carries
    for (unsigned run = 0; run < 2; run++) {
        store_world_open(world);
        const struct found *found = store_load(world);
        assert_int_equal(found->count, 300);
        assert_int_equal(found->tokens[0], 300);
        assert_int_equal(found->last.token, 1);
        assert_int_equal(found->last.attempt, 2);
        assert_int_equal(found->last.callers, 7);
        assert_int_equal(found->last.value.size, 50000);
        assert_int_equal(found->value[49999], 1);
        assert_string_equal(found->texts, "texts");
        assert_string_equal(found->key, "key");
        assert_true(sfl_store_take_tokens(world->store, 1) > UINT64_C(1) << 60);
        store_world_close(world);
    }
}

// On a full disk the carrying over stops anywhere; the next start goes on there.
static void a_carrying_over_that_was_broken_off_goes_on(void **state)
{
    struct store_world *world = *state;
    store_world_close(world);
    write_format_1(world, 1, 300, 50000);
    struct stat stat_before;
    assert_int_equal(stat(world->path, &stat_before), 0);
    for (uint64_t room = 1 << 18; room < 8 << 20; room *= 2) {
        char error[SFL_STORE_ERROR_MAX];
        disk_end_at((uint64_t)stat_before.st_size + room);
        if (sfl_store_open(&world->options, &world->store, error) == SFL_OK)
            break;
        world->store = NULL;
        assert_non_null(strstr(error, "data.mdb: "));
    }
    disk_mend();
    if (world->store == NULL)
        store_world_open(world);
    assert_int_equal(store_load(world)->count, 300);
}

static void a_newer_format_is_refused_in_clear_words(void **state)
{
    struct store_world *world = *state;
    store_world_close(world);
    write_format_1(world, 4, 1, 10);
    const char *reason = store_world_refused(world, SFL_FAILED_PRECONDITION);
    assert_non_null(strstr(reason, "of format 4, which a newer version made"));
}

static void a_fingerprint_that_is_too_long_is_refused(void **state)
{
    struct store_world *world = *state;
    store_world_close(world);
    write_format_1(world, 1, 1, 1000);
    struct image image = read_image(world);
    static const uint8_t names[] = "groupkeyprint";
    uint8_t *at = memmem(image.bytes, image.size, names, sizeof(names) - 1);
    assert_non_null(at);
    uint16_t long_fingerprint = 300;
    uint64_t value_size = 1000 - 295;
    memcpy(at - 48 + 16, &long_fingerprint, 2);
    memcpy(at - 8, &value_size, 8);
    write_image(world, image.bytes, image.size);
    assert_non_null(strstr(store_world_refused(world, SFL_FAILED_PRECONDITION),
                           "fingerprint that is too long"));
    free(image.bytes);
}

static int tear_down(void **state)
{
    disk_mend();
    return store_world_tear_down(state);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, store_world_set_up, tear_down)

int main(void)
{
    disk_skip_syncs();
    const struct CMUnitTest tests[] = {
        STORY(what_was_written_is_never_taken_for_damaged),
        STORY(one_changed_bit_is_noticed_or_does_no_harm),
        STORY(a_few_changed_bits_are_noticed_or_do_no_harm),
        STORY(three_hundred_changed_bits_are_noticed),
        STORY(a_file_that_was_cut_is_refused),
        STORY(pages_that_were_overwritten_are_noticed_or_were_free),
        STORY(what_is_no_data_file_is_refused),
        STORY(an_empty_file_is_a_new_one),
        STORY(a_file_of_format_1_is_carried_over),
        STORY(a_carrying_over_that_was_broken_off_goes_on),
        STORY(a_newer_format_is_refused_in_clear_words),
        STORY(a_fingerprint_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
