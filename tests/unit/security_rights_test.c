// SPDX-License-Identifier: Apache-2.0
// Who may do what, by the names that a caller has shown; and reloads.
#include "security/identity.h"
#include "security/pattern.h"
#include "security/security.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH_A "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // "a"
#define HASH_B "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d" // "b"

static const char access_text[] = "[who]\n"
                                  "web = uri:spiffe://prod.example/ns/web/* dns:*.Web.example\n"
                                  "cron = token:cron\n"
                                  "ops = token:ops unix\n"
                                  "[group reports.*]\n"
                                  "do = web cron\n"
                                  "lead = cron\n"
                                  "forget = cron ops\n"
                                  "end = ops\n"
                                  "list = ops\n"
                                  "[group reports.open]\n"
                                  "lead = web\n"
                                  "[group ops.*]\n"
                                  "all = ops\n"
                                  "[server]\n"
                                  "admin = ops\n"
                                  "deny = uri:spiffe://prod.example/ns/web/sa/stolen token:old\n";

// Files of one test, and what was read from them.
struct house {
    char token_path[64];
    char access_path[64];
    struct sfl_security *security;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_file(char path[64], const char *text)
{
    strcpy(path, "/tmp/sfl_security_XXXXXX");
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    write_file(path, text);
}

// Either text may be NULL: there is no such file then.
static void open_house(struct house *house, const char *tokens, const char *access)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    *house = (struct house){.security = NULL};
    if (tokens != NULL)
        make_file(house->token_path, tokens);
    if (access != NULL)
        make_file(house->access_path, access);
    const struct sfl_security_options options = {
        .token_file = tokens == NULL ? NULL : house->token_path,
        .access_file = access == NULL ? NULL : house->access_path,
    };
    if (sfl_security_create(&options, &house->security, problem) != SFL_OK)
        fail_msg("%s", problem);
}

static void close_house(struct house *house)
{
    sfl_security_destroy(house->security);
    if (house->token_path[0] != '\0')
        unlink(house->token_path);
    if (house->access_path[0] != '\0')
        unlink(house->access_path);
}

static struct sfl_identity *caller(struct house *house, const char *name, const char *token)
{
    struct sfl_span names[1] = {sfl_span_of_text(name == NULL ? "" : name)};
    const struct sfl_credentials credentials = {
        .may_show_token = true,
        .has_token = token != NULL,
        .is_token_readable = token != NULL,
        .token = sfl_span_of_text(token == NULL ? "" : token),
        .are_names_whole = true,
        .names = names,
        .name_count = name == NULL ? 0 : 1,
    };
    struct sfl_identity *identity = sfl_identity_create(house->security, &credentials);
    assert_non_null(identity);
    return identity;
}

static struct sfl_identity *unix_caller(struct house *house)
{
    const struct sfl_credentials credentials = {
        .is_unix = true, .may_show_token = true, .are_names_whole = true};
    struct sfl_identity *identity = sfl_identity_create(house->security, &credentials);
    assert_non_null(identity);
    return identity;
}

// The identity goes with the question.
static void may(struct sfl_identity *identity, const char *group, unsigned rights)
{
    assert_int_equal(sfl_identity_rights(identity, sfl_span_of_text(group)), rights);
    sfl_identity_destroy(identity);
}

static void is(struct sfl_identity *identity, enum sfl_identity_state state)
{
    assert_int_equal(sfl_identity_state(identity), state);
    sfl_identity_destroy(identity);
}

static void a_star_stands_for_any_run(void **state)
{
    (void)state;
    static const char *const yes[][2] = {
        {"*", ""},          {"*", "abc"},       {"a*", "a"},
        {"a*c", "abbc"},    {"*c", "abcc"},     {"a*b*c", "aXbYc"},
        {"**", "x"},        {"a", "a"},         {"", ""},
        {"*ab*ab", "abab"}, {"a*ab", "aaaaab"}, {"*.web.example", "a.b.web.example"},
    };
    static const char *const no[][2] = {
        {"", "a"},     {"a", ""},    {"a", "ab"},      {"a*", "ba"},
        {"a*c", "ab"}, {"*c", "cd"}, {"*ab*ab", "ab"}, {"*.web.example", "web.example"},
    };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(sfl_pattern_matches(sfl_span_of_text(yes[i][0]), sfl_span_of_text(yes[i][1])));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(sfl_pattern_matches(sfl_span_of_text(no[i][0]), sfl_span_of_text(no[i][1])));
}

static void what_any_section_allows_is_allowed_and_nothing_else(void **state)
{
    (void)state;
    struct house house;
    open_house(&house, "cron " HASH_A "\nops " HASH_B "\n", access_text);
    const char *web = "uri:spiffe://prod.example/ns/web/sa/front";
    may(caller(&house, web, NULL), "reports.daily", SFL_RIGHT_DO);
    may(caller(&house, web, NULL), "reports.open", SFL_RIGHT_DO | SFL_RIGHT_LEAD);
    may(caller(&house, web, NULL), "reports", 0);
    may(caller(&house, web, NULL), "ops.x", 0);
    may(caller(&house, "dns:A.web.EXAMPLE", NULL), "reports.daily", SFL_RIGHT_DO);
    may(caller(&house, NULL, "a"), "reports.daily",
        SFL_RIGHT_DO | SFL_RIGHT_LEAD | SFL_RIGHT_FORGET);
    may(caller(&house, NULL, "b"), "ops.x", SFL_RIGHTS_OF_GROUP);
    may(unix_caller(&house), "reports.daily", SFL_RIGHT_FORGET | SFL_RIGHT_END | SFL_RIGHT_LIST);
    // The names of a caller add up.
    may(caller(&house, web, "b"), "reports.daily",
        SFL_RIGHT_DO | SFL_RIGHT_FORGET | SFL_RIGHT_END | SFL_RIGHT_LIST);
    // Known, but nowhere in the file: it may call, and nothing more.
    may(caller(&house, "uri:spiffe://other.example/x", NULL), "reports.daily", 0);
    is(caller(&house, "uri:spiffe://other.example/x", NULL), SFL_IDENTITY_GOOD);
    close_house(&house);
}

static void only_admins_are_admins(void **state)
{
    (void)state;
    struct house house;
    open_house(&house, "cron " HASH_A "\nops " HASH_B "\n", access_text);
    struct sfl_identity *ops = caller(&house, NULL, "b");
    struct sfl_identity *cron = caller(&house, NULL, "a");
    assert_true(sfl_identity_is_admin(ops));
    assert_false(sfl_identity_is_admin(cron));
    sfl_identity_destroy(ops);
    sfl_identity_destroy(cron);
    close_house(&house);
}

static void the_deny_list_comes_before_every_right(void **state)
{
    (void)state;
    struct house house;
    open_house(&house, "cron " HASH_A "\nold " HASH_B "\n", access_text);
    const char *stolen = "uri:spiffe://prod.example/ns/web/sa/stolen";
    is(caller(&house, stolen, NULL), SFL_IDENTITY_DENIED);
    is(caller(&house, stolen, "a"), SFL_IDENTITY_DENIED);
    is(caller(&house, NULL, "b"), SFL_IDENTITY_DENIED);
    may(caller(&house, stolen, NULL), "reports.daily", 0);
    close_house(&house);
}

static void a_bad_token_is_no_way_in(void **state)
{
    (void)state;
    struct house house;
    open_house(&house, "cron " HASH_A "\n", NULL);
    is(caller(&house, NULL, "a"), SFL_IDENTITY_GOOD);
    is(caller(&house, NULL, "b"), SFL_IDENTITY_BAD_TOKEN);
    is(caller(&house, "dns:a.example", "b"), SFL_IDENTITY_BAD_TOKEN);
    is(caller(&house, "dns:a.example", NULL), SFL_IDENTITY_GOOD);
    is(caller(&house, NULL, NULL), SFL_IDENTITY_NOBODY);
    is(unix_caller(&house), SFL_IDENTITY_NOBODY);
    may(caller(&house, NULL, "a"), "any", SFL_RIGHTS_OF_GROUP);
    struct sfl_credentials credentials = {
        .has_token = true, .may_show_token = true, .are_names_whole = true};
    is(sfl_identity_create(house.security, &credentials), SFL_IDENTITY_BAD_TOKEN);
    credentials.is_token_readable = true;
    credentials.token = sfl_span_of_text("a");
    credentials.may_show_token = false;
    is(sfl_identity_create(house.security, &credentials), SFL_IDENTITY_OPEN_TOKEN);
    close_house(&house);
}

static void without_a_token_file_tokens_are_not_looked_at(void **state)
{
    (void)state;
    struct house house;
    open_house(&house, NULL, access_text);
    is(caller(&house, "dns:a.web.example", "whatever"), SFL_IDENTITY_GOOD);
    is(caller(&house, NULL, "whatever"), SFL_IDENTITY_NOBODY);
    close_house(&house);
}

static void a_certificate_with_names_that_are_cut_off_is_refused(void **state)
{
    (void)state;
    struct house house;
    open_house(&house, NULL, access_text);
    struct sfl_span name = sfl_span_of_text("dns:a.web.example");
    const struct sfl_credentials credentials = {.names = &name, .name_count = 1};
    is(sfl_identity_create(house.security, &credentials), SFL_IDENTITY_BAD_NAMES);
    close_house(&house);
}

static void who_has_no_name_may_be_let_in_by_the_file(void **state)
{
    (void)state;
    struct house house;
    open_house(&house, NULL, "[who]\nall = anonymous\n[group open]\ndo = all\n");
    may(caller(&house, NULL, NULL), "open", SFL_RIGHT_DO);
    may(caller(&house, NULL, NULL), "other", 0);
    may(caller(&house, "dns:a.example", NULL), "open", 0);
    close_house(&house);
}

static void a_reload_is_in_force_at_once_and_a_broken_one_never(void **state)
{
    (void)state;
    struct house house;
    char problem[SFL_SECURITY_PROBLEM_MAX];
    open_house(&house, "cron " HASH_A "\n", "[who]\nc = token:cron\n[group *]\ndo = c\n");
    struct sfl_identity *cron = caller(&house, NULL, "a");
    assert_int_equal(sfl_identity_rights(cron, sfl_span_of_text("g")), SFL_RIGHT_DO);

    write_file(house.access_path, "[who]\nc = token:cron\n[group *]\nall = c\n");
    assert_int_equal(sfl_security_reload(house.security, problem), SFL_OK);
    assert_int_not_equal(sfl_identity_generation(cron), sfl_security_generation(house.security));
    // Until it is renewed, it goes by what was.
    assert_int_equal(sfl_identity_rights(cron, sfl_span_of_text("g")), SFL_RIGHT_DO);
    sfl_identity_renew(cron);
    assert_int_equal(sfl_identity_generation(cron), sfl_security_generation(house.security));
    assert_int_equal(sfl_identity_rights(cron, sfl_span_of_text("g")), SFL_RIGHTS_OF_GROUP);

    write_file(house.token_path, "cron 12\n");
    assert_int_equal(sfl_security_reload(house.security, problem), SFL_INVALID_ARGUMENT);
    sfl_identity_renew(cron);
    assert_int_equal(sfl_identity_rights(cron, sfl_span_of_text("g")), SFL_RIGHTS_OF_GROUP);
    struct sfl_security_counts counts = sfl_security_counts(house.security);
    assert_int_equal(counts.reloads, 2);
    assert_int_equal(counts.reloads_failed, 1);
    assert_false(counts.last_reload_was_good);

    write_file(house.token_path, "# nobody\n");
    assert_int_equal(sfl_security_reload(house.security, problem), SFL_OK);
    sfl_identity_renew(cron);
    assert_int_equal(sfl_identity_state(cron), SFL_IDENTITY_BAD_TOKEN);
    assert_int_equal(sfl_identity_rights(cron, sfl_span_of_text("g")), 0);
    assert_true(sfl_security_counts(house.security).last_reload_was_good);
    sfl_identity_destroy(cron);
    close_house(&house);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    char problem[SFL_SECURITY_PROBLEM_MAX];
    struct sfl_security *security = NULL;
    const struct sfl_security_options options = {.token_file = "/nowhere/tokens"};
    assert_int_equal(sfl_security_create(&options, &security, problem), SFL_INVALID_ARGUMENT);
    assert_string_equal(problem, "/nowhere/tokens: cannot be read: No such file or directory");
}

struct asker {
    struct house *house;
    atomic_bool *is_over;
    uint64_t answers;
    bool is_wrong;
};

static void *ask(void *argument)
{
    struct asker *asker = argument;
    struct sfl_identity *cron = caller(asker->house, NULL, "a");
    while (!atomic_load(asker->is_over)) {
        unsigned rights = sfl_identity_rights(cron, sfl_span_of_text("g"));
        asker->is_wrong |= rights != SFL_RIGHT_DO && rights != SFL_RIGHTS_OF_GROUP;
        asker->answers++;
        if (sfl_identity_generation(cron) != sfl_security_generation(asker->house->security))
            sfl_identity_renew(cron);
    }
    sfl_identity_destroy(cron);
    return NULL;
}

static void rights_are_asked_for_while_they_are_exchanged(void **state)
{
    (void)state;
    enum { THREADS = 3, RELOADS = 100 };
    struct house house;
    char problem[SFL_SECURITY_PROBLEM_MAX];
    open_house(&house, "cron " HASH_A "\n", "[who]\nc = token:cron\n[group *]\ndo = c\n");
    atomic_bool is_over = false;
    struct asker askers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.house = &house, .is_over = &is_over};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (unsigned i = 0; i < RELOADS; i++) {
        write_file(house.access_path, i % 2 == 0 ? "[who]\nc = token:cron\n[group *]\nall = c\n"
                                                 : "[who]\nc = token:cron\n[group *]\ndo = c\n");
        assert_int_equal(sfl_security_reload(house.security, problem), SFL_OK);
    }
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(askers[i].is_wrong);
    }
    close_house(&house);
}

static void the_log_names_a_caller(void **state)
{
    (void)state;
    struct house house;
    char text[SFL_IDENTITY_TEXT_MAX];
    open_house(&house, "cron " HASH_A "\n", access_text);
    struct sfl_identity *both = caller(&house, "dns:a.example", "a");
    sfl_identity_text(both, text);
    assert_string_equal(text, "token:cron dns:a.example");
    sfl_identity_destroy(both);
    struct sfl_identity *nobody = caller(&house, NULL, NULL);
    sfl_identity_text(nobody, text);
    assert_string_equal(text, "anonymous");
    sfl_identity_destroy(nobody);
    close_house(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_star_stands_for_any_run),
        cmocka_unit_test(what_any_section_allows_is_allowed_and_nothing_else),
        cmocka_unit_test(only_admins_are_admins),
        cmocka_unit_test(the_deny_list_comes_before_every_right),
        cmocka_unit_test(a_bad_token_is_no_way_in),
        cmocka_unit_test(without_a_token_file_tokens_are_not_looked_at),
        cmocka_unit_test(a_certificate_with_names_that_are_cut_off_is_refused),
        cmocka_unit_test(who_has_no_name_may_be_let_in_by_the_file),
        cmocka_unit_test(a_reload_is_in_force_at_once_and_a_broken_one_never),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(rights_are_asked_for_while_they_are_exchanged),
        cmocka_unit_test(the_log_names_a_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
