// SPDX-License-Identifier: Apache-2.0
#include "security/tls_files.h"

#include "security/read_file_private.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Ten times what a bundle of all CAs of the world has.
enum { FILE_MIB_MAX = 4 };

static enum sfl_status read_file(const char *path, char **text_out, char *problem)
{
    size_t size;
    if (path == NULL)
        return SFL_OK;
    *text_out = sfl_security_read_file(path, FILE_MIB_MAX, &size, problem);
    return *text_out == NULL ? SFL_INVALID_ARGUMENT : SFL_OK;
}

// --- what is in them ---

// One run of checks; what it makes is freed at its end.
struct check {
    const struct sfl_tls_paths *paths;
    struct sfl_tls_texts *texts;
    SSL_CTX *context; // as gRPC makes one
    X509 *cert;
    EVP_PKEY *key;
    time_t not_after;
    char *problem;
};

__attribute__((format(printf, 3, 4))) static bool refuse(struct check *check, const char *path,
                                                         const char *format, ...)
{
    char text[SFL_SECURITY_PROBLEM_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sfl_security_problem(check->problem, path, 0, "%s", text);
    ERR_clear_error();
    return false;
}

// Why OpenSSL did not do it, for people.
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text == NULL ? "for an unknown reason" : text;
}

// What OpenSSL says after the last block of a file.
static bool is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    if (is_end)
        ERR_clear_error();
    return is_end;
}

static void describe_time(time_t time, char text_out[static 32])
{
    struct tm parts;
    gmtime_r(&time, &parts);
    strftime(text_out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static bool read_time(const ASN1_TIME *time, time_t *time_out)
{
    struct tm parts;
    if (ASN1_TIME_to_tm(time, &parts) != 1)
        return false;
    *time_out = timegm(&parts);
    return true;
}

// Whether the certificate holds now; notes when the first of a chain runs out.
static bool holds(struct check *check, const char *path, const X509 *cert, unsigned place)
{
    time_t now = time(NULL);
    time_t not_before;
    time_t not_after;
    char text[32];
    if (!read_time(X509_get0_notBefore(cert), &not_before) ||
        !read_time(X509_get0_notAfter(cert), &not_after))
        return refuse(check, path, "certificate %u has no time from which and until which it holds",
                      place);
    if (now > not_after) {
        describe_time(not_after, text);
        return refuse(check, path, "certificate %u has expired: it held until %s", place, text);
    }
    if (now < not_before) {
        describe_time(not_before, text);
        return refuse(check, path, "certificate %u does not hold yet: it will from %s", place,
                      text);
    }
    if (place == 1 || not_after < check->not_after)
        check->not_after = not_after;
    return true;
}

// Takes the reference to `cert`.
static bool add_to_chain(struct check *check, X509 *cert, unsigned place)
{
    bool is_good = holds(check, check->paths->cert, cert, place);
    bool is_taken = false;
    if (is_good && place == 1) {
        is_good = SSL_CTX_use_certificate(check->context, cert) == 1;
        is_taken = true;
        check->cert = cert;
    } else if (is_good) {
        is_good = is_taken = SSL_CTX_add_extra_chain_cert(check->context, cert) == 1;
    }
    if (!is_taken)
        X509_free(cert);
    if (!is_good && ERR_peek_last_error() != 0)
        return refuse(check, check->paths->cert, "certificate %u cannot be used: %s", place,
                      reason());
    return is_good;
}

static bool check_chain(struct check *check, BIO *input)
{
    unsigned count = 0;
    X509 *cert;
    while ((cert = PEM_read_bio_X509(input, NULL, NULL, NULL)) != NULL) {
        if (!add_to_chain(check, cert, ++count))
            return false;
    }
    if (!is_at_end())
        return refuse(check, check->paths->cert, "certificate %u cannot be read: %s", count + 1,
                      reason());
    return count > 0 || refuse(check, check->paths->cert, "has no certificate in PEM");
}

// A passphrase is asked for: there is nobody to ask.
// NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's type
static int on_passphrase(char *buffer, int size, int is_written, void *context)
{
    (void)buffer;
    (void)size;
    (void)is_written;
    *(bool *)context = true;
    return -1;
}

static bool check_key(struct check *check, BIO *input)
{
    const char *path = check->paths->key;
    bool has_passphrase = false;
    check->key = PEM_read_bio_PrivateKey(input, NULL, on_passphrase, &has_passphrase);
    if (has_passphrase)
        return refuse(check, path, "has a passphrase; it must have none");
    if (check->key == NULL)
        return refuse(check, path, "has no private key in PEM that can be read: %s", reason());
    if (X509_check_private_key(check->cert, check->key) != 1)
        return refuse(check, path, "does not belong to the certificate in %s", check->paths->cert);
    if (SSL_CTX_use_PrivateKey(check->context, check->key) != 1)
        return refuse(check, path, "cannot be used: %s", reason());
    return true;
}

// Those that have expired vouch for nobody, and bundles carry them along: no reason to stop.
static bool check_client_ca(struct check *check, BIO *input)
{
    const char *path = check->paths->client_ca;
    unsigned count = 0;
    unsigned current = 0;
    X509 *cert;
    while ((cert = PEM_read_bio_X509(input, NULL, NULL, NULL)) != NULL) {
        count++;
        current += X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
        X509_free(cert);
    }
    if (!is_at_end())
        return refuse(check, path, "certificate %u cannot be read: %s", count + 1, reason());
    if (count == 0)
        return refuse(check, path, "has no certificate in PEM");
    return current > 0 || refuse(check, path, "has no CA that has not expired");
}

static bool run_on(struct check *check, const char *path, const char *text,
                   bool (*run)(struct check *, BIO *))
{
    if (path == NULL)
        return true;
    BIO *input = BIO_new_mem_buf(text, -1);
    if (input == NULL)
        return refuse(check, path, "cannot be looked at: no memory");
    bool is_good = run(check, input);
    BIO_free(input);
    return is_good;
}

static bool check_texts(struct check *check)
{
    const struct sfl_tls_paths *paths = check->paths;
    ERR_clear_error();
    check->context = SSL_CTX_new(TLS_server_method());
    bool is_good = check->context != NULL || refuse(check, paths->cert, "no memory");
    is_good = is_good && run_on(check, paths->cert, check->texts->cert, check_chain) &&
              run_on(check, paths->key, check->texts->key, check_key) &&
              run_on(check, paths->client_ca, check->texts->client_ca, check_client_ca);
    check->texts->not_after_unix_s = check->not_after;
    EVP_PKEY_free(check->key);
    X509_free(check->cert);
    SSL_CTX_free(check->context);
    return is_good;
}

enum sfl_status sfl_tls_files_read(const struct sfl_tls_paths *paths,
                                   struct sfl_tls_texts *texts_out,
                                   char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    struct sfl_tls_texts texts = {.cert = NULL};
    enum sfl_status status = read_file(paths->cert, &texts.cert, problem_out);
    if (status == SFL_OK)
        status = read_file(paths->key, &texts.key, problem_out);
    if (status == SFL_OK)
        status = read_file(paths->client_ca, &texts.client_ca, problem_out);
    struct check check = {.paths = paths, .texts = &texts, .problem = problem_out};
    if (status == SFL_OK && !check_texts(&check))
        status = SFL_INVALID_ARGUMENT;
    if (status == SFL_OK)
        *texts_out = texts;
    else
        sfl_tls_texts_deinit(&texts);
    return status;
}

void sfl_tls_texts_deinit(struct sfl_tls_texts *texts)
{
    if (texts->key != NULL)
        explicit_bzero(texts->key, strlen(texts->key));
    free(texts->cert);
    free(texts->key);
    free(texts->client_ca);
    *texts = (struct sfl_tls_texts){.cert = NULL};
}
