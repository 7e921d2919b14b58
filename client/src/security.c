// SPDX-License-Identifier: Apache-2.0
#include "src/security.h"

#include "base/address.h"
#include "src/constants.h"
#include "src/pem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)1024 * 1024)
#define TOKEN_BYTES_MAX ((size_t)4096)
#define BLANKS " \t\r\n"

static _Thread_local char problem[512];

__attribute__((format(printf, 1, 2))) static enum sfl_status refuse(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(problem, sizeof(problem), format, values);
    va_end(values);
    return SFL_INVALID_ARGUMENT;
}

// ----------------------------------------------------------------------------------------- files

static bool is_unchanged(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

// A file that is not there is in the state of all zero.
static bool has_changed(const struct sfl_watched_file *file)
{
    struct stat now;
    if (file->path == NULL)
        return false;
    if (stat(file->path, &now) != 0)
        now = (struct stat){0};
    return !is_unchanged(&now, &file->seen);
}

// Reads all that is left, up to `size` bytes. Below 0: errno says why not.
static ssize_t read_whole(int descriptor, char *bytes, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t now = read(descriptor, bytes + got, size - got);
        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0)
            return -1;
        if (now == 0)
            break;
        got += (size_t)now;
    }
    return (ssize_t)got;
}

// Reads a file of text, and notes its state. `what` names the option.
static enum sfl_status read_file(struct sfl_watched_file *file, const char *what, char **text_out)
{
    file->seen = (struct stat){0};
    int descriptor = open(file->path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return refuse("%s: %s cannot be read: %s", what, file->path, strerror(errno));
    char *text = malloc(FILE_BYTES_MAX + 1);
    ssize_t size = -1;
    bool is_read = text != NULL && fstat(descriptor, &file->seen) == 0 &&
                   (size = read_whole(descriptor, text, FILE_BYTES_MAX)) >= 0;
    int error = errno;
    close(descriptor);
    enum sfl_status status = SFL_OK;
    if (text == NULL)
        return SFL_NO_MEMORY;
    if (!is_read)
        status = refuse("%s: %s cannot be read: %s", what, file->path, strerror(error));
    else if ((size_t)size == FILE_BYTES_MAX || memchr(text, 0, (size_t)size) != NULL)
        status = refuse("%s: %s is no text file", what, file->path);
    if (status != SFL_OK) {
        free(text);
        return status;
    }
    text[size] = 0;
    *text_out = text;
    return SFL_OK;
}

static enum sfl_status check(const char *what, const struct sfl_watched_file *file,
                             const char *wrong)
{
    return wrong == NULL ? SFL_OK : refuse("%s: %s %s", what, file->path, wrong);
}

// ---------------------------------------------------------------------------------- certificates

// What the three files hold.
struct texts {
    char *ca;
    char *cert;
    char *key;
};

static void free_texts(struct texts *texts)
{
    free(texts->ca);
    free(texts->cert);
    free(texts->key);
}

static enum sfl_status read_texts(struct sfl_security *security, struct texts *texts)
{
    enum sfl_status status = SFL_OK;
    if (security->ca.path != NULL)
        status = read_file(&security->ca, "tls_ca", &texts->ca);
    if (status == SFL_OK && texts->ca != NULL)
        status = check("tls_ca", &security->ca, sfl_pem_check_ca(texts->ca));
    if (status != SFL_OK || security->cert.path == NULL)
        return status;
    status = read_file(&security->cert, "tls_cert", &texts->cert);
    if (status == SFL_OK)
        status = read_file(&security->key, "tls_key", &texts->key);
    if (status == SFL_OK)
        status = check("tls_cert", &security->cert, sfl_pem_check_certificate(texts->cert));
    if (status == SFL_OK)
        status = check("tls_key", &security->key, sfl_pem_check_key(texts->key, texts->cert));
    return status;
}

static enum sfl_status load_certificates(struct sfl_security *security)
{
    struct texts texts = {NULL, NULL, NULL};
    enum sfl_status status = read_texts(security, &texts);
    if (status != SFL_OK) {
        free_texts(&texts);
        return status;
    }
    struct texts old = {security->ca_pem, security->cert_pem, security->key_pem};
    free_texts(&old);
    security->ca_pem = texts.ca;
    security->cert_pem = texts.cert;
    security->key_pem = texts.key;
    security->edition++;
    return SFL_OK;
}

// ----------------------------------------------------------------------------------------- token

static bool is_token(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return size > 0 && size <= TOKEN_BYTES_MAX;
}

static enum sfl_status load_token(struct sfl_security *security)
{
    char *text = NULL;
    enum sfl_status status = read_file(&security->token, "token_file", &text);
    if (status != SFL_OK)
        return status;
    assert(text != NULL);
    const char *token = text + strspn(text, BLANKS);
    size_t size = strlen(token);
    while (size > 0 && strchr(BLANKS, token[size - 1]) != NULL)
        size--;
    char *authorization = malloc(strlen("Bearer ") + size + 1);
    if (!is_token(token, size))
        status = refuse("token_file: %s holds %s", security->token.path,
                        size == 0 ? "no token" : "more than one token, or bytes that none has");
    else if (authorization == NULL)
        status = SFL_NO_MEMORY;
    if (status != SFL_OK) {
        free(authorization);
    } else {
        snprintf(authorization, strlen("Bearer ") + size + 1, "Bearer %s", token);
        free(security->authorization);
        security->authorization = authorization;
        security->token_edition++;
    }
    explicit_bzero(text, strlen(text));
    free(text);
    return status;
}

// --------------------------------------------------------------------------------------- options

// What is given, or what the environment says; NULL: neither. Empty is nothing.
static const char *choose(const char *given, const char *variable)
{
    const char *value = given != NULL ? given : getenv(variable);
    return value == NULL || value[0] == 0 ? NULL : value;
}

static bool copy(char **copy_out, const char *text)
{
    *copy_out = text == NULL ? NULL : strdup(text);
    return text == NULL || *copy_out != NULL;
}

static enum sfl_status read_names(struct sfl_security *security,
                                  const struct singleflight_client_options *options)
{
    const char *ca = choose(options->tls_ca, SFL_TLS_CA_VARIABLE);
    const char *cert = choose(options->tls_cert, SFL_TLS_CERT_VARIABLE);
    const char *key = choose(options->tls_key, SFL_TLS_KEY_VARIABLE);
    const char *server_name = choose(options->tls_server_name, SFL_TLS_SERVER_NAME_VARIABLE);
    if ((cert == NULL) != (key == NULL))
        return refuse(cert == NULL ? "tls_key is given without tls_cert"
                                   : "tls_cert is given without tls_key");
    if (ca == NULL && (cert != NULL || server_name != NULL))
        return refuse("%s is given without tls_ca: say whom to trust (\"system\": whom the system "
                      "trusts)",
                      cert != NULL ? "tls_cert" : "tls_server_name");
    security->has_tls = ca != NULL;
    bool is_file = ca != NULL && strcmp(ca, SFL_TLS_CA_SYSTEM) != 0;
    bool is_copied =
        copy(&security->ca.path, is_file ? ca : NULL) && copy(&security->cert.path, cert) &&
        copy(&security->key.path, key) && copy(&security->server_name, server_name) &&
        copy(&security->token.path, choose(options->token_file, SFL_TOKEN_FILE_VARIABLE));
    return is_copied ? SFL_OK : SFL_NO_MEMORY;
}

enum sfl_status sfl_security_init(struct sfl_security *security,
                                  const struct singleflight_client_options *options,
                                  const char **problem_out)
{
    *security = (struct sfl_security){0};
    enum sfl_status status = read_names(security, options);
    if (status == SFL_OK && security->has_tls)
        status = load_certificates(security);
    if (status == SFL_OK && security->token.path != NULL)
        status = load_token(security);
    if (status != SFL_OK)
        sfl_security_deinit(security);
    if (status == SFL_INVALID_ARGUMENT)
        *problem_out = problem;
    return status;
}

void sfl_security_deinit(struct sfl_security *security)
{
    struct texts texts = {security->ca_pem, security->cert_pem, security->key_pem};
    free_texts(&texts);
    free(security->ca.path);
    free(security->cert.path);
    free(security->key.path);
    free(security->token.path);
    free(security->server_name);
    free(security->authorization);
    *security = (struct sfl_security){0};
}

// ------------------------------------------------------------------------------------- addresses

static bool is_unix(const char *address)
{
    return strncmp(address, "unix:", 5) == 0;
}

static bool is_loopback(const char *address)
{
    struct sfl_address parts;
    if (!sfl_address_split(address, &parts))
        return false;
    unsigned char bytes[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, parts.host, bytes) == 1)
        return bytes[0] == 127;
    if (inet_pton(AF_INET6, parts.host, bytes) == 1)
        return memcmp(bytes, &in6addr_loopback, sizeof(bytes)) == 0;
    return strcasecmp(parts.host, "localhost") == 0;
}

bool sfl_security_encrypts(const struct sfl_security *security, const char *address)
{
    return security->has_tls && !is_unix(address);
}

enum sfl_status sfl_security_allows(const struct sfl_security *security, const char *address,
                                    const char **problem_out)
{
    bool is_safe = security->authorization == NULL || security->has_tls || is_unix(address) ||
                   is_loopback(address);
    if (is_safe)
        return SFL_OK;
    *problem_out = problem;
    return refuse("token_file: the token would go to %.200s for all to read: set tls_ca", address);
}

const char *sfl_security_hint(const struct sfl_security *security, const char *address,
                              const char *text)
{
    if (is_unix(address))
        return "";
    bool is_closed = strstr(text, "Socket closed") != NULL;
    if (!security->has_tls)
        return is_closed ? " (it may speak TLS: see tls_ca)" : "";
    if (strstr(text, "wrong version number") != NULL)
        return " (it does not speak TLS)";
    if (strstr(text, "certificate verify failed") != NULL)
        return " (its certificate is none that tls_ca trusts)";
    if (strstr(text, "is not in peer certificate") != NULL)
        return " (see tls_server_name)";
    bool may_lack = is_closed && security->cert_pem == NULL;
    return may_lack ? " (it may want a certificate: see tls_cert)" : "";
}

// ----------------------------------------------------------------------------------------- again

static void tell(enum sfl_status status, sfl_security_complaint *complain, void *context)
{
    if (status == SFL_OK)
        return;
    char line[sizeof(problem) + 64];
    snprintf(line, sizeof(line), "%s; what was read before goes on to hold",
             status == SFL_NO_MEMORY ? "there is no memory left for a file" : problem);
    complain(context, line);
}

void sfl_security_refresh(struct sfl_security *security, uint64_t now_ms,
                          sfl_security_complaint *complain, void *context)
{
    if (now_ms < security->looked_ms + SFL_FILES_LOOK_MS)
        return;
    security->looked_ms = now_ms;
    // A file that cannot be used is noted as seen, too: it is complained about once.
    bool changed =
        has_changed(&security->ca) || has_changed(&security->cert) || has_changed(&security->key);
    if (changed)
        tell(load_certificates(security), complain, context);
    if (has_changed(&security->token))
        tell(load_token(security), complain, context);
}
