// SPDX-License-Identifier: Apache-2.0
// What the daemon thinks of the files of its TLS, and when it looks at them again.
#include "security/tls_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <unistd.h>

#define PATH_BYTES 300

struct folder {
    char path[64];
    char cert[PATH_BYTES];
    char key[PATH_BYTES];
    char ca[PATH_BYTES];
    struct sfl_tls_paths paths;
};

__attribute__((format(printf, 2, 3))) static void run(const struct folder *folder,
                                                      const char *format, ...)
{
    char rest[600];
    char command[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(rest, sizeof(rest), format, arguments);
    va_end(arguments);
    snprintf(command, sizeof(command), "cd %s && PATH=%s:$PATH && %s", folder->path,
             CERTIFICATES_FOLDER, rest);
    // NOLINTNEXTLINE(cert-env33-c): the commands are ours
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    strcpy(folder->path, "/tmp/sfl-tls-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    snprintf(folder->cert, PATH_BYTES, "%s/server.pem", folder->path);
    snprintf(folder->key, PATH_BYTES, "%s/server.key", folder->path);
    snprintf(folder->ca, PATH_BYTES, "%s/ca.pem", folder->path);
    folder->paths = (struct sfl_tls_paths){folder->cert, folder->key, folder->ca};
    run(folder, "certificates .");
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    run(*state, "rm -r ../$(basename $PWD)");
    free(*state);
    return 0;
}

static void refuses(const struct folder *folder, const char *file, const char *how)
{
    struct sfl_tls_texts texts;
    char problem[SFL_SECURITY_PROBLEM_MAX];
    char said[SFL_SECURITY_PROBLEM_MAX];
    snprintf(said, sizeof(said), "%s/%s: %s", folder->path, file, how);
    assert_int_equal(sfl_tls_files_read(&folder->paths, &texts, problem), SFL_INVALID_ARGUMENT);
    if (strncmp(problem, said, strlen(said)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", problem, said);
}

static void good_files_are_handed_over_as_they_are(void **state)
{
    const struct folder *folder = *state;
    struct sfl_tls_texts texts;
    char problem[SFL_SECURITY_PROBLEM_MAX];
    assert_int_equal(sfl_tls_files_read(&folder->paths, &texts, problem), SFL_OK);
    assert_non_null(strstr(texts.cert, "BEGIN CERTIFICATE"));
    assert_non_null(strstr(texts.key, "PRIVATE KEY"));
    assert_non_null(strstr(texts.client_ca, "BEGIN CERTIFICATE"));
    int64_t days = (texts.not_after_unix_s - time(NULL)) / (24 * 3600);
    assert_in_range(days, 28, 30);
    sfl_tls_texts_deinit(&texts);
    assert_null(texts.key);
}

static void a_chain_holds_as_long_as_its_first_to_run_out(void **state)
{
    const struct folder *folder = *state;
    run(folder, "certificates --days 9 . between DNS:between && cat between.pem >>server.pem");
    struct sfl_tls_texts texts;
    char problem[SFL_SECURITY_PROBLEM_MAX];
    assert_int_equal(sfl_tls_files_read(&folder->paths, &texts, problem), SFL_OK);
    assert_in_range((texts.not_after_unix_s - time(NULL)) / (24 * 3600), 7, 9);
    sfl_tls_texts_deinit(&texts);
    run(folder, "certificates --expired . between DNS:between && cat between.pem >>server.pem");
    refuses(folder, "server.pem", "certificate 3 ");
}

static void what_cannot_serve_is_refused(void **state)
{
    static const struct {
        const char *command;
        const char *file;
        const char *how;
    } cases[] = {
        {"rm server.pem", "server.pem", "cannot be read: No such file"},
        {"rm server.key", "server.key", "cannot be read: No such file"},
        {"rm ca.pem", "ca.pem", "cannot be read: No such file"},
        {"rm server.pem && mkdir server.pem", "server.pem", "is no regular file"},
        {"cp /dev/null server.pem", "server.pem", "has no certificate in PEM"},
        {"openssl x509 -in server.pem -outform DER -out d && mv d server.pem", "server.pem",
         "has no certificate in PEM"},
        {"sed -i '4s/^..../!!!!/' server.pem", "server.pem", "certificate 1 cannot be read: "},
        {"head -n 3 ca.pem >>server.pem", "server.pem", "certificate 2 cannot be read: "},
        {"cp /dev/null server.key", "server.key", "has no private key in PEM"},
        {"cp server.pem server.key", "server.key", "has no private key in PEM"},
        {"cp bob.key server.key", "server.key", "does not belong to the certificate in "},
        {"openssl pkey -in server.key -aes128 -passout pass:a -out k && mv k server.key",
         "server.key", "has a passphrase"},
        {"certificates --expired . server DNS:localhost", "server.pem", "certificate 1 "},
        {"cp /dev/null ca.pem", "ca.pem", "has no certificate in PEM"},
        {"head -n 3 server.pem >>ca.pem", "ca.pem", "certificate 2 cannot be read: "},
        {"certificates --expired . old DNS:old && mv old.pem ca.pem", "ca.pem",
         "has no CA that has not expired"},
        {"openssl req -x509 -newkey rsa:1024 -nodes -subj /CN=weak -keyout server.key"
         " -out server.pem 2>/dev/null",
         "server.pem", "certificate 1 cannot be used: "},
        {"head -c 5000000 /dev/zero >server.key", "server.key", "is larger than 4 MiB"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct folder *folder = *state;
        run(folder, "rm -rf ../$(basename $PWD)/* && certificates .");
        run(folder, "%s", cases[i].command);
        refuses(folder, cases[i].file, cases[i].how);
    }
}

// --- watching ---

struct watched {
    struct sfl_tls_watch watch;
    struct sfl_tls_texts texts;
    char problem[SFL_SECURITY_PROBLEM_MAX];
};

static struct watched *open_watched(const struct folder *folder)
{
    struct watched *watched = calloc(1, sizeof(*watched));
    assert_int_equal(
        sfl_tls_watch_open(&watched->watch, &folder->paths, &watched->texts, watched->problem),
        SFL_OK);
    return watched;
}

static enum sfl_tls_news look(struct watched *watched, bool is_asked_for)
{
    struct sfl_tls_texts texts;
    enum sfl_tls_news news =
        sfl_tls_watch_look(&watched->watch, is_asked_for, &texts, watched->problem);
    if (news == SFL_TLS_NEW) {
        sfl_tls_texts_deinit(&watched->texts);
        watched->texts = texts;
    }
    return news;
}

static void close_watched(struct watched *watched)
{
    sfl_tls_texts_deinit(&watched->texts);
    free(watched);
}

static void files_are_read_when_they_have_settled(void **state)
{
    const struct folder *folder = *state;
    struct watched *watched = open_watched(folder);
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    char *before = strdup(watched->texts.cert);
    // The certificate is in place, and its key is not yet.
    run(folder, "certificates . next DNS:localhost && mv next.pem server.pem");
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    run(folder, "mv next.key server.key");
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    assert_int_equal(look(watched, false), SFL_TLS_NEW);
    assert_string_not_equal(watched->texts.cert, before);
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    assert_int_equal(watched->watch.counts.reloads, 1);
    assert_int_equal(watched->watch.counts.reloads_failed, 0);
    free(before);
    close_watched(watched);
}

static void broken_ones_are_said_once_and_forgotten_when_they_are_mended(void **state)
{
    const struct folder *folder = *state;
    struct watched *watched = open_watched(folder);
    run(folder, "mv server.key away");
    for (int i = 0; i < SFL_TLS_PATIENCE; i++)
        assert_int_equal(look(watched, false), SFL_TLS_SAME);
    assert_int_equal(look(watched, false), SFL_TLS_BROKEN);
    assert_non_null(strstr(watched->problem, "server.key: cannot be read"));
    for (int i = 0; i < 3; i++)
        assert_int_equal(look(watched, false), SFL_TLS_SAME);
    assert_int_equal(look(watched, true), SFL_TLS_BROKEN); // somebody asks
    assert_false(watched->watch.counts.last_reload_was_good);
    run(folder, "mv away server.key");
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    assert_int_equal(look(watched, false), SFL_TLS_NEW);
    assert_true(watched->watch.counts.last_reload_was_good);
    assert_int_equal(watched->watch.counts.reloads, 3);
    assert_int_equal(watched->watch.counts.reloads_failed, 2);
    close_watched(watched);
}

static void a_pair_may_take_its_time(void **state)
{
    const struct folder *folder = *state;
    struct watched *watched = open_watched(folder);
    run(folder, "certificates . next DNS:localhost && mv next.pem server.pem");
    for (int i = 0; i < SFL_TLS_PATIENCE; i++)
        assert_int_equal(look(watched, false), SFL_TLS_SAME);
    run(folder, "mv next.key server.key");
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    assert_int_equal(look(watched, false), SFL_TLS_NEW);
    assert_int_equal(watched->watch.counts.reloads_failed, 0);
    close_watched(watched);
}

static void a_link_on_the_way_counts(void **state)
{
    const struct folder *folder = *state;
    run(folder, "mkdir one two && cp server.* one && certificates . server DNS:localhost && "
                "mv server.* two && ln -s one data && ln -s data/server.pem data/server.key .");
    struct watched *watched = open_watched(folder);
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    run(folder, "ln -s two next && mv -T next data");
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    assert_int_equal(look(watched, false), SFL_TLS_NEW);
    close_watched(watched);
}

static void a_write_in_place_counts(void **state)
{
    const struct folder *folder = *state;
    struct watched *watched = open_watched(folder);
    run(folder, "certificates . next DNS:localhost && cat next.pem >server.pem && "
                "cat next.key >server.key");
    assert_int_equal(look(watched, false), SFL_TLS_SAME);
    assert_int_equal(look(watched, false), SFL_TLS_NEW);
    close_watched(watched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(good_files_are_handed_over_as_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chain_holds_as_long_as_its_first_to_run_out, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_serve_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_read_when_they_have_settled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            broken_ones_are_said_once_and_forgotten_when_they_are_mended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pair_may_take_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_on_the_way_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_in_place_counts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
