// SPDX-License-Identifier: Apache-2.0
// What a client makes of certificates, keys and tokens before it talks to anybody.
#include "src/security.h"

#include "src/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/client_security_test.XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[64][128];
    static unsigned next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

// Comes into place whole, as another file.
static const char *write_file(const char *name, const char *text)
{
    const char *path = in_folder(name);
    FILE *file = fopen(in_folder("new"), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(in_folder("new"), path), 0);
    return path;
}

static void certificates(const char *arguments)
{
    char command[512];
    snprintf(command, sizeof(command), "%s %s", SFL_CERTIFICATES, arguments);
    char *at = strstr(command, "DIR");
    assert_non_null(at);
    char line[640];
    snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - command), command, folder, at + 3);
    assert_int_equal(system(line), 0);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    certificates("DIR");
    certificates("--expired DIR old DNS:old.example");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char line[64];
    snprintf(line, sizeof(line), "rm -rf %s", folder);
    return system(line);
}

static void unset_all(void)
{
    unsetenv("SINGLEFLIGHT_TLS_CA");
    unsetenv("SINGLEFLIGHT_TLS_CERT");
    unsetenv("SINGLEFLIGHT_TLS_KEY");
    unsetenv("SINGLEFLIGHT_TLS_SERVER_NAME");
    unsetenv("SINGLEFLIGHT_TOKEN_FILE");
}

// The options are refused, in words that contain `why`.
static void assert_refused(const struct singleflight_client_options *options, const char *why)
{
    struct sfl_security security;
    const char *problem = NULL;
    assert_int_equal(sfl_security_init(&security, options, &problem), SFL_INVALID_ARGUMENT);
    if (strstr(problem, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", problem, why);
}

static void half_of_it_is_refused(void **state)
{
    (void)state;
    unset_all();
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.tls_cert = in_folder("alice.pem");
    assert_refused(&options, "tls_cert is given without tls_key");
    options.tls_key = in_folder("alice.key");
    assert_refused(&options, "without tls_ca");
    options = (struct singleflight_client_options)SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.tls_server_name = "other.example";
    assert_refused(&options, "tls_server_name is given without tls_ca");
}

static void what_cannot_be_used_is_named(void **state)
{
    (void)state;
    unset_all();
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.tls_ca = in_folder("nowhere.pem");
    assert_refused(&options, "nowhere.pem cannot be read: No such file");
    options.tls_ca = write_file("empty.pem", "");
    assert_refused(&options, "empty.pem holds no certificate");
    options.tls_ca = write_file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                              "-----END CERTIFICATE-----\n");
    assert_refused(&options, "broken.pem holds a certificate that is broken");
    options.tls_ca = in_folder("ca.pem");
    options.tls_cert = in_folder("alice.pem");
    options.tls_key = in_folder("bob.key");
    assert_refused(&options, "bob.key holds a key that is not that of the certificate");
    options.tls_key = in_folder("alice.pem");
    assert_refused(&options, "alice.pem holds no private key");
    options.tls_cert = in_folder("old.pem");
    options.tls_key = in_folder("old.key");
    assert_refused(&options, "old.pem holds a certificate that has expired");
}

static void the_environment_stands_in(void **state)
{
    (void)state;
    unset_all();
    setenv("SINGLEFLIGHT_TLS_CA", in_folder("ca.pem"), 1);
    setenv("SINGLEFLIGHT_TLS_CERT", in_folder("alice.pem"), 1);
    setenv("SINGLEFLIGHT_TLS_KEY", in_folder("alice.key"), 1);
    setenv("SINGLEFLIGHT_TOKEN_FILE", write_file("token", " \n s3cret\t\n"), 1);
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.tls_cert = in_folder("bob.pem");
    options.tls_key = in_folder("bob.key");
    struct sfl_security security;
    const char *problem = NULL;
    assert_int_equal(sfl_security_init(&security, &options, &problem), SFL_OK);
    assert_string_equal(security.cert.path, in_folder("bob.pem"));
    assert_string_equal(security.authorization, "Bearer s3cret");
    assert_true(sfl_security_encrypts(&security, "db.example:7433"));
    assert_false(sfl_security_encrypts(&security, "unix:/run/s"));
    sfl_security_deinit(&security);

    // An option that is empty is none, whatever the environment says.
    options.tls_ca = options.tls_cert = options.tls_key = options.token_file = "";
    assert_int_equal(sfl_security_init(&security, &options, &problem), SFL_OK);
    assert_false(security.has_tls);
    assert_null(security.authorization);
    sfl_security_deinit(&security);
    unset_all();
}

static void the_system_may_be_trusted(void **state)
{
    (void)state;
    unset_all();
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.tls_ca = "system";
    struct sfl_security security;
    const char *problem = NULL;
    assert_int_equal(sfl_security_init(&security, &options, &problem), SFL_OK);
    assert_true(security.has_tls);
    assert_null(security.ca_pem);
    sfl_security_deinit(&security);
}

static void a_token_is_one_word(void **state)
{
    (void)state;
    unset_all();
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.token_file = write_file("bad-token", " \n");
    assert_refused(&options, "bad-token holds no token");
    write_file("bad-token", "one two\n");
    assert_refused(&options, "holds more than one token");
    write_file("bad-token", "caf\xc3\xa9\n");
    assert_refused(&options, "bytes that none has");
    options.token_file = in_folder("gone");
    assert_refused(&options, "token_file: ");
}

static enum sfl_status settings_with_token(const char *address, const char **problem_out)
{
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    const char *addresses[] = {"unix:/run/s", address};
    options.addresses = addresses;
    options.address_count = 2;
    options.token_file = write_file("token", "s3cret\n");
    struct sfl_settings settings;
    enum sfl_status status = sfl_settings_init(&settings, &options, problem_out);
    if (status == SFL_OK)
        sfl_settings_deinit(&settings);
    return status;
}

static void a_token_does_not_travel_for_all_to_read(void **state)
{
    (void)state;
    unset_all();
    const char *problem = NULL;
    const char *const local[] = {"127.0.0.1:1", "127.8.9.10:1", "[::1]:1",
                                 "localhost:1", "LOCALHOST:1",  "unix:/tmp/x"};
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        assert_int_equal(settings_with_token(local[i], &problem), SFL_OK);
    const char *const far[] = {"10.0.0.1:1", "db.example:1",        "[::2]:1",
                               "0.0.0.0:1",  "127.0.0.1.example:1", "localhost.example:1"};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        assert_int_equal(settings_with_token(far[i], &problem), SFL_INVALID_ARGUMENT);
        assert_non_null(strstr(problem, far[i]));
        assert_non_null(strstr(problem, "for all to read"));
    }
    setenv("SINGLEFLIGHT_TLS_CA", in_folder("ca.pem"), 1);
    assert_int_equal(settings_with_token("db.example:1", &problem), SFL_OK);
    unset_all();
}

static void what_an_older_program_did_not_know_is_not_read(void **state)
{
    (void)state;
    unset_all();
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.struct_bytes = offsetof(struct singleflight_client_options, tls_ca);
    options.tls_ca = "/no/where";
    options.token_file = "/no/where";
    options.observer = (const struct singleflight_observer *)(uintptr_t)1;
    struct sfl_settings settings;
    const char *problem = NULL;
    assert_int_equal(sfl_settings_init(&settings, &options, &problem), SFL_OK);
    assert_false(settings.security.has_tls);
    assert_null(settings.security.authorization);
    assert_false(settings.is_observed);
    sfl_settings_deinit(&settings);
}

struct complaints {
    unsigned count;
    char last[600];
};

static void complain(void *context, const char *line)
{
    struct complaints *complaints = context;
    complaints->count++;
    snprintf(complaints->last, sizeof(complaints->last), "%s", line);
}

static void files_are_read_again(void **state)
{
    (void)state;
    unset_all();
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.tls_ca = in_folder("ca.pem");
    certificates("DIR eve DNS:eve.example");
    options.tls_cert = in_folder("eve.pem");
    options.tls_key = in_folder("eve.key");
    options.token_file = write_file("token", "first");
    struct sfl_security security;
    struct complaints complaints = {0};
    const char *problem = NULL;
    assert_int_equal(sfl_security_init(&security, &options, &problem), SFL_OK);
    unsigned edition = security.edition;

    write_file("token", "second");
    sfl_security_refresh(&security, 500, complain, &complaints);
    assert_string_equal(security.authorization, "Bearer first"); // not yet
    sfl_security_refresh(&security, 1000, complain, &complaints);
    assert_string_equal(security.authorization, "Bearer second");
    assert_int_equal(security.edition, edition);

    certificates("DIR eve DNS:eve.example");
    sfl_security_refresh(&security, 2000, complain, &complaints);
    assert_int_equal(security.edition, edition + 1);
    assert_int_equal(complaints.count, 0);
    sfl_security_deinit(&security);
}

static void what_is_broken_leaves_the_old(void **state)
{
    (void)state;
    unset_all();
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    certificates("DIR eve DNS:eve.example");
    options.tls_ca = in_folder("ca.pem");
    options.tls_cert = in_folder("eve.pem");
    options.tls_key = in_folder("eve.key");
    options.token_file = write_file("token", "first");
    struct sfl_security security;
    struct complaints complaints = {0};
    const char *problem = NULL;
    assert_int_equal(sfl_security_init(&security, &options, &problem), SFL_OK);
    unsigned edition = security.edition;

    assert_int_equal(unlink(in_folder("token")), 0);
    sfl_security_refresh(&security, 1000, complain, &complaints);
    sfl_security_refresh(&security, 2000, complain, &complaints);
    assert_int_equal(complaints.count, 1); // once, not every second
    assert_string_equal(security.authorization, "Bearer first");

    write_file("eve.key", "no key\n");
    sfl_security_refresh(&security, 3000, complain, &complaints);
    assert_int_equal(complaints.count, 2);
    assert_non_null(strstr(complaints.last, "eve.key"));
    assert_int_equal(security.edition, edition);
    assert_non_null(strstr(security.key_pem, "PRIVATE KEY"));

    write_file("token", "back");
    sfl_security_refresh(&security, 4000, complain, &complaints);
    assert_int_equal(complaints.count, 2);
    assert_string_equal(security.authorization, "Bearer back");
    sfl_security_deinit(&security);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_it_is_refused),
        cmocka_unit_test(what_cannot_be_used_is_named),
        cmocka_unit_test(the_environment_stands_in),
        cmocka_unit_test(the_system_may_be_trusted),
        cmocka_unit_test(a_token_is_one_word),
        cmocka_unit_test(a_token_does_not_travel_for_all_to_read),
        cmocka_unit_test(what_an_older_program_did_not_know_is_not_read),
        cmocka_unit_test(files_are_read_again),
        cmocka_unit_test(what_is_broken_leaves_the_old),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
