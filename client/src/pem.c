// SPDX-License-Identifier: Apache-2.0
#include "src/pem.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

// Instead of asking the terminal.
static int give_no_password(char *buffer, int size, int is_writing, void *context)
{
    if (size > 0)
        buffer[0] = 0;
    (void)is_writing;
    (void)context;
    return -1;
}

static BIO *open_text(const char *pem)
{
    size_t size = strlen(pem);
    return size > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)size);
}

// The first certificate; NULL when there is none, or what stands there is broken.
static X509 *read_certificate(BIO *text)
{
    return PEM_read_bio_X509(text, NULL, give_no_password, NULL);
}

// Whether nothing but the end stopped the reading.
static bool ended_well(void)
{
    unsigned long error = ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

const char *sfl_pem_check_ca(const char *pem)
{
    ERR_clear_error();
    BIO *text = open_text(pem);
    size_t count = 0;
    X509 *certificate = NULL;
    while (text != NULL && (certificate = read_certificate(text)) != NULL) {
        X509_free(certificate);
        count++;
    }
    bool is_whole = ended_well();
    ERR_clear_error();
    BIO_free(text);
    if (count == 0)
        return is_whole ? "holds no certificate in PEM" : "holds a certificate that is broken";
    return is_whole ? NULL : "holds a certificate that is broken";
}

const char *sfl_pem_check_certificate(const char *pem)
{
    const char *problem = sfl_pem_check_ca(pem);
    if (problem != NULL)
        return problem;
    BIO *text = open_text(pem);
    X509 *certificate = read_certificate(text);
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        problem = "holds a certificate that has expired";
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        problem = "holds a certificate that is not valid yet";
    X509_free(certificate);
    BIO_free(text);
    ERR_clear_error();
    return problem;
}

const char *sfl_pem_check_key(const char *pem, const char *certificate_pem)
{
    BIO *text = open_text(pem);
    BIO *certificate_text = open_text(certificate_pem);
    EVP_PKEY *key =
        text == NULL ? NULL : PEM_read_bio_PrivateKey(text, NULL, give_no_password, NULL);
    X509 *certificate = certificate_text == NULL ? NULL : read_certificate(certificate_text);
    const char *problem = NULL;
    if (key == NULL)
        problem = "holds no private key in PEM, or one with a password";
    else if (certificate == NULL || X509_check_private_key(certificate, key) != 1)
        problem = "holds a key that is not that of the certificate";
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(certificate_text);
    BIO_free(text);
    ERR_clear_error();
    return problem;
}
