// SPDX-License-Identifier: Apache-2.0
// Files that belong together, and when they can be read again.
#include "security/watched_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
    char folder[64];
    char one[80];
    char other[80];
    struct sfl_watched_files watched;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    snprintf(pair->folder, sizeof(pair->folder), "/tmp/sfl-watched-XXXXXX");
    if (mkdtemp(pair->folder) == NULL)
        return -1;
    snprintf(pair->one, sizeof(pair->one), "%s/one", pair->folder);
    snprintf(pair->other, sizeof(pair->other), "%s/other", pair->folder);
    write_file(pair->one, "1");
    write_file(pair->other, "1");
    const char *const paths[SFL_WATCHED_FILES] = {pair->one, NULL, pair->other};
    sfl_watched_files_init(&pair->watched, paths);
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    (void)unlink(pair->one);
    (void)unlink(pair->other);
    int result = rmdir(pair->folder);
    free(pair);
    return result;
}

static void what_changes_is_settled_when_a_look_finds_no_more(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_SAME);
    write_file(pair->one, "22");
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_CHANGING);
    write_file(pair->other, "22"); // the second of the two comes later
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_CHANGING);
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_SETTLED);
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_SAME);
}

static void one_that_goes_and_comes_back_has_changed(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(unlink(pair->other), 0);
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_CHANGING);
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_SETTLED);
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_SAME);
    write_file(pair->other, "1");
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_CHANGING);
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_SETTLED);
}

static void who_reads_them_at_once_need_not_be_told_later(void **state)
{
    struct pair *pair = *state;
    write_file(pair->one, "22");
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_CHANGING);
    write_file(pair->one, "333");
    sfl_watched_files_settle(&pair->watched);
    assert_int_equal(sfl_watched_files_look(&pair->watched), SFL_WATCHED_SAME);
}

int main(void)
{
#define STORY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(what_changes_is_settled_when_a_look_finds_no_more),
        STORY(one_that_goes_and_comes_back_has_changed),
        STORY(who_reads_them_at_once_need_not_be_told_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
