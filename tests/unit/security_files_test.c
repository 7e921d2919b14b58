// SPDX-License-Identifier: Apache-2.0
// What stands in a token file and in an access file, and what is said of one that is broken.
#include "security/access.h"
#include "security/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HASH_A "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // "a"
#define HASH_B "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d" // "b"
#define HASH_ZEROES "0000000000000000000000000000000000000000000000000000000000000000"
#define HASH_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const char *name_of(const struct sfl_tokens *tokens, const char *token)
{
    struct sfl_token_hash hash;
    sfl_token_hash_of(sfl_span_of_text(token), &hash);
    return sfl_tokens_find(tokens, &hash);
}

static struct sfl_tokens *tokens_of(const char *text)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    struct sfl_tokens *tokens = NULL;
    if (sfl_tokens_read("t", sfl_span_of_text(text), &tokens, problem) != SFL_OK)
        fail_msg("%s", problem);
    return tokens;
}

static void refuses_tokens(const char *text, const char *problem_wanted)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    struct sfl_tokens *tokens = NULL;
    assert_int_equal(sfl_tokens_read("t", sfl_span_of_text(text), &tokens, problem),
                     SFL_INVALID_ARGUMENT);
    assert_null(tokens);
    assert_string_equal(problem, problem_wanted);
}

static void a_token_has_the_name_of_its_line(void **state)
{
    (void)state;
    struct sfl_tokens *tokens = tokens_of("# two\n\ncron " HASH_A "\r\n\tops\t" HASH_B "  # new");
    assert_int_equal(sfl_tokens_count(tokens), 2);
    assert_string_equal(name_of(tokens, "a"), "cron");
    assert_string_equal(name_of(tokens, "b"), "ops");
    assert_null(name_of(tokens, "c"));
    assert_null(name_of(tokens, ""));
    sfl_tokens_destroy(tokens);
}

static void several_tokens_may_have_one_name(void **state)
{
    (void)state;
    struct sfl_tokens *tokens = tokens_of("cron " HASH_A "\ncron " HASH_B "\n");
    assert_string_equal(name_of(tokens, "a"), "cron");
    assert_string_equal(name_of(tokens, "b"), "cron");
    sfl_tokens_destroy(tokens);
}

static void a_file_of_comments_takes_no_token(void **state)
{
    (void)state;
    struct sfl_tokens *tokens = tokens_of("# nobody\n");
    assert_int_equal(sfl_tokens_count(tokens), 0);
    assert_null(name_of(tokens, "a"));
    sfl_tokens_destroy(tokens);
}

static void broken_token_files_are_refused_with_their_line(void **state)
{
    (void)state;
    refuses_tokens("", "t: is empty; write a comment into it if no token is to be taken");
    refuses_tokens("cron\n",
                   "t:1: is not \"NAME SHA256HEX\": the second word must be 64 hex digits");
    refuses_tokens("#\ncron 12ab",
                   "t:2: is not \"NAME SHA256HEX\": the second word must be 64 hex digits");
    refuses_tokens("cron " HASH_A "0",
                   "t:1: is not \"NAME SHA256HEX\": the second word must be 64 hex digits");
    refuses_tokens("cron " HASH_A " x", "t:1: is not \"NAME SHA256HEX\": there is a third word");
    refuses_tokens("cr=on " HASH_A, "t:1: the name may have 1 to 64 of A-Z a-z 0-9 . _ -");
    refuses_tokens("cron " HASH_EMPTY, "t:1: this is the hash of an empty token");
    refuses_tokens("cron " HASH_ZEROES, "t:1: the hash is all zeroes, which no token has");
    refuses_tokens("cron " HASH_A "\nops " HASH_B "\nops " HASH_A,
                   "t:3: the same token stands on line 1");
}

// --- the access file ---

static struct sfl_access *access_of(const char *text)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    struct sfl_access *access = NULL;
    const struct sfl_access_files files = {.access_path = "a",
                                           .access_text = sfl_span_of_text(text)};
    if (sfl_access_create(&files, 1, &access, problem) != SFL_OK)
        fail_msg("%s", problem);
    return access;
}

static void refuses(const char *text, const char *problem_wanted)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    struct sfl_access *access = NULL;
    const struct sfl_access_files files = {.access_path = "a",
                                           .access_text = sfl_span_of_text(text)};
    assert_int_equal(sfl_access_create(&files, 1, &access, problem), SFL_INVALID_ARGUMENT);
    assert_null(access);
    assert_string_equal(problem, problem_wanted);
}

static void an_unknown_word_is_refused(void **state)
{
    (void)state;
    refuses("", "a:1: is empty; write a comment into it if nobody may do anything");
    refuses("do = web\n", "a:1: \"do\" stands before the first section");
    refuses("[groups x]\n",
            "a:1: is no section of an access file: [who], [group PATTERN], [server]");
    refuses("[who x]\n", "a:1: is no section of an access file: [who], [group PATTERN], [server]");
    refuses("[group a b]\n",
            "a:1: is no section of an access file: [who], [group PATTERN], [server]");
    refuses("[group x\n", "a:1: a section ends with ]");
    refuses("[group x] do = y\n",
            "a:1: is no section of an access file: [who], [group PATTERN], [server]");
    refuses("[who]\nweb = unix\n[group x]\nwrite = web\n",
            "a:4: \"write\" is no right (do, lead, forget, end, list, all) and no quota "
            "(flights-limit, callers-limit, held-limit, retained-limit, joins-per-second)");
    refuses("[server]\nall = web\n", "a:2: \"all\" is not of [server], which has admin and deny");
    refuses("[who]\nweb unix\n", "a:2: is not \"name = words\"");
    refuses("[who]\nweb = unix ; no\n",
            "a:2: has a ;, which stands nowhere here; comments begin with #");
}

static void an_unknown_name_is_refused(void **state)
{
    (void)state;
    refuses("[who]\nweb = unix\n[group x]\ndo = web corn # :-)\n", "a:4: \"corn\" is not in [who]");
    refuses("[server]\nadmin = ops\n", "a:2: \"ops\" is not in [who]");
}

static void a_bad_identity_is_refused(void **state)
{
    (void)state;
    refuses("[who]\nweb = *\n",
            "a:2: \"*\" is no identity: dns:NAME, uri:URI, token:NAME, unix, anonymous");
    refuses("[who]\nweb = dns:\n",
            "a:2: \"dns:\" is no identity: dns:NAME, uri:URI, token:NAME, unix, anonymous");
    refuses("[server]\ndeny = web\n",
            "a:2: \"web\" is no identity: dns:NAME, uri:URI, token:NAME, unix, anonymous");
    refuses("[who]\nweb =\n", "a:2: web is nobody: name an identity");
    refuses("[who]\na b = unix\n", "a:2: \"a b\": a name may have 1 to 40 of A-Z a-z 0-9 . _ -");
}

static void a_bad_pattern_is_refused(void **state)
{
    (void)state;
    refuses("[group]\n", "a:1: [group PATTERN]: the pattern may have A-Z a-z 0-9 . _ - and *");
    refuses("[group a/b]\n", "a:1: [group PATTERN]: the pattern may have A-Z a-z 0-9 . _ - and *");
}

static void what_stands_twice_is_refused(void **state)
{
    (void)state;
    refuses("[who]\nweb = unix\nweb = token:x\n", "a:3: web stands here twice");
    refuses("[who]\nweb = unix\n[who]\n", "a:3: this section is here twice");
    refuses("[server]\n[server]\n", "a:2: this section is here twice");
    refuses("[group a]\n[group b]\n[group a]\n", "a:3: [group a] is here twice");
    refuses("[who]\nw = unix\n[group a]\ndo = w\nlead = w\ndo = w\n",
            "a:6: do stands in this section twice");
    refuses("[group a]\nflights-limit = 1\nflights-limit = 1\n",
            "a:3: flights-limit stands in this section twice");
}

static void a_bad_quota_is_refused(void **state)
{
    (void)state;
    refuses("[group a]\nflights-limit = many\n",
            "a:2: flights-limit must be a whole number, and is \"many\"");
    refuses("[group a]\nflights-limit =\n",
            "a:2: flights-limit must be a whole number, and is \"\"");
    refuses("[group a]\nflights-limit = 99999999999999999999\n",
            "a:2: flights-limit must be a whole number, and is \"99999999999999999999\"");
    refuses("[group a]\nflights-limit = 1\n  2\n",
            "a:3: flights-limit has one value, on one line, and is \"2\"");
}

static void a_line_may_be_gone_on_with(void **state)
{
    (void)state;
    sfl_access_unref(access_of("[who]\nweb = unix\n  token:a\n\n\ttoken:b # two\n"
                               "[group a]\ndo = web\n web\n"));
    refuses("[who]\nweb = unix\n  nobody\n",
            "a:3: \"nobody\" is no identity: dns:NAME, uri:URI, token:NAME, unix, anonymous");
    refuses("[who]\n  web = unix\n",
            "a:2: begins with a blank, so it goes on with the line before, which is none");
    refuses("  [who]\n", "a:1: a section begins at the beginning of a line");
}

static void nothing_is_cut_off_in_silence(void **state)
{
    (void)state;
    char text[600] = "[group ";
    struct sfl_span group;
    // Longer than inih's own room for a section.
    memset(text + 7, 'g', 200);
    group = sfl_span_of(text + 7, 200);
    strcpy(text + 207, "]\nflights-limit = 7\n");
    struct sfl_access *access = access_of(text);
    assert_int_equal(sfl_access_quota(access, group).flights, 7);
    group.size = 199;
    assert_int_equal(sfl_access_quota(access, group).flights, UINT64_MAX);
    sfl_access_unref(access);

    strcpy(text, "[who]\n");
    memset(text + 6, 'n', 60);
    strcpy(text + 66, " = unix\n");
    refuses(text, "a:2: \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\": a name may have 1 to 40 of "
                  "A-Z a-z 0-9 . _ -");
    strcpy(text, "[who]\nw = uri:");
    memset(text + 14, 'u', 300);
    text[314] = '\0';
    refuses(text, "a:2: is longer than 197 bytes; go on with an indented line");
}

static void the_last_section_that_says_a_quota_gives_it(void **state)
{
    (void)state;
    struct sfl_access *access = access_of("[group *]\n"
                                          "flights-limit = 10\n"
                                          "held-limit = 64MiB\n"
                                          "[group big.*]\n"
                                          "flights-limit = 1000\n"
                                          "callers-limit = 0\n"
                                          "retained-limit = 1KiB\n"
                                          "joins-per-second = 5\n");
    assert_true(sfl_access_has_quotas(access));
    struct sfl_access_quota small = sfl_access_quota(access, sfl_span_of_text("small"));
    assert_int_equal(small.flights, 10);
    assert_int_equal(small.held_bytes, 64 << 20);
    assert_int_equal(small.callers, UINT64_MAX);
    assert_int_equal(small.joins_per_second, UINT64_MAX);
    struct sfl_access_quota big = sfl_access_quota(access, sfl_span_of_text("big.one"));
    assert_int_equal(big.flights, 1000);
    assert_int_equal(big.callers, 0);
    assert_int_equal(big.held_bytes, 64 << 20);
    assert_int_equal(big.retained_bytes, 1024);
    assert_int_equal(big.joins_per_second, 5);
    sfl_access_unref(access);

    access = access_of("[who]\nweb = unix\n[group *]\ndo = web\n");
    assert_false(sfl_access_has_quotas(access));
    assert_int_equal(sfl_access_quota(access, sfl_span_of_text("x")).flights, UINT64_MAX);
    sfl_access_unref(access);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_has_the_name_of_its_line),
        cmocka_unit_test(several_tokens_may_have_one_name),
        cmocka_unit_test(a_file_of_comments_takes_no_token),
        cmocka_unit_test(broken_token_files_are_refused_with_their_line),
        cmocka_unit_test(an_unknown_word_is_refused),
        cmocka_unit_test(an_unknown_name_is_refused),
        cmocka_unit_test(a_bad_identity_is_refused),
        cmocka_unit_test(a_bad_pattern_is_refused),
        cmocka_unit_test(what_stands_twice_is_refused),
        cmocka_unit_test(a_bad_quota_is_refused),
        cmocka_unit_test(a_line_may_be_gone_on_with),
        cmocka_unit_test(nothing_is_cut_off_in_silence),
        cmocka_unit_test(the_last_section_that_says_a_quota_gives_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
