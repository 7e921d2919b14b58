// SPDX-License-Identifier: Apache-2.0
#include "rpc/certificates_private.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct texts {
    char *cert;
    char *key;
    char *client_ca;
};

// What gRPC has of the certificates on one port.
struct port {
    struct sfl_certificates *certificates;
    uint64_t generation; // 0: nothing yet
    struct port *next;
};

struct sfl_certificates {
    enum sfl_client_auth client_auth;
    _Atomic uint64_t handshakes;
    pthread_mutex_t lock; // of all that follows
    struct texts texts;
    uint64_t generation; // of the texts, from 1
    struct port *ports;
};

// --- texts ---

static void free_texts(struct texts *texts)
{
    if (texts->key != NULL)
        explicit_bzero(texts->key, strlen(texts->key));
    free(texts->cert);
    free(texts->key);
    free(texts->client_ca);
    *texts = (struct texts){.cert = NULL};
}

static bool copy_text(const char *text, char **copy_out)
{
    *copy_out = text == NULL ? NULL : strdup(text);
    return text == NULL || *copy_out != NULL;
}

static enum sfl_status copy_texts(const struct sfl_certificate_texts *texts,
                                  struct texts *copies_out)
{
    struct texts copies = {.cert = NULL};
    bool are_copied = copy_text(texts->cert, &copies.cert) && copy_text(texts->key, &copies.key) &&
                      copy_text(texts->client_ca, &copies.client_ca);
    if (!are_copied) {
        free_texts(&copies);
        return SFL_NO_MEMORY;
    }
    *copies_out = copies;
    return SFL_OK;
}

// --- life ---

enum sfl_status sfl_certificates_create(enum sfl_client_auth client_auth,
                                        const struct sfl_certificate_texts *texts,
                                        struct sfl_certificates **certificates_out)
{
    struct sfl_certificates *certificates = calloc(1, sizeof(*certificates));
    if (certificates == NULL || copy_texts(texts, &certificates->texts) != SFL_OK) {
        free(certificates);
        return SFL_NO_MEMORY;
    }
    certificates->client_auth = client_auth;
    certificates->generation = 1;
    pthread_mutex_init(&certificates->lock, NULL);
    *certificates_out = certificates;
    return SFL_OK;
}

void sfl_certificates_destroy(struct sfl_certificates *certificates)
{
    if (certificates == NULL)
        return;
    while (certificates->ports != NULL) {
        struct port *port = certificates->ports;
        certificates->ports = port->next;
        free(port);
    }
    free_texts(&certificates->texts);
    pthread_mutex_destroy(&certificates->lock);
    free(certificates);
}

enum sfl_status sfl_certificates_set(struct sfl_certificates *certificates,
                                     const struct sfl_certificate_texts *texts)
{
    struct texts copies;
    enum sfl_status status = copy_texts(texts, &copies);
    if (status != SFL_OK)
        return status;
    pthread_mutex_lock(&certificates->lock);
    struct texts old = certificates->texts;
    certificates->texts = copies;
    certificates->generation++;
    pthread_mutex_unlock(&certificates->lock);
    free_texts(&old);
    return SFL_OK;
}

uint64_t sfl_certificates_handshakes(const struct sfl_certificates *certificates)
{
    return atomic_load_explicit(&certificates->handshakes, memory_order_relaxed);
}

// --- gRPC ---

static grpc_ssl_server_certificate_config *config_of(const struct texts *texts)
{
    const grpc_ssl_pem_key_cert_pair pair = {.private_key = texts->key, .cert_chain = texts->cert};
    // gRPC wants some in any case. Clients are asked for a certificate only when there is a CA.
    const char *roots = texts->client_ca == NULL ? texts->cert : texts->client_ca;
    return grpc_ssl_server_certificate_config_create(roots, &pair, 1);
}

// gRPC asks once when the port is added, and then at every handshake, on the thread that does it.
// It keeps what it has when it cannot use the new ones.
static grpc_ssl_certificate_config_reload_status
on_handshake(void *context, grpc_ssl_server_certificate_config **config_out)
{
    struct port *port = context;
    struct sfl_certificates *certificates = port->certificates;
    pthread_mutex_lock(&certificates->lock);
    bool is_first = port->generation == 0;
    bool is_new = port->generation != certificates->generation;
    if (is_new)
        *config_out = config_of(&certificates->texts);
    port->generation = certificates->generation;
    pthread_mutex_unlock(&certificates->lock);
    if (!is_first)
        atomic_fetch_add_explicit(&certificates->handshakes, 1, memory_order_relaxed);
    return is_new ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW
                  : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

static grpc_ssl_client_certificate_request_type request_of(enum sfl_client_auth client_auth)
{
    switch (client_auth) {
    case SFL_CLIENT_AUTH_OPTIONAL:
        return GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
    case SFL_CLIENT_AUTH_REQUIRED:
        return GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    case SFL_CLIENT_AUTH_NONE:
        break;
    }
    return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
}

grpc_server_credentials *sfl_certificates_for_port(struct sfl_certificates *certificates)
{
    struct port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return NULL;
    port->certificates = certificates;
    pthread_mutex_lock(&certificates->lock);
    port->next = certificates->ports;
    certificates->ports = port;
    pthread_mutex_unlock(&certificates->lock);
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            request_of(certificates->client_auth), on_handshake, port));
}
