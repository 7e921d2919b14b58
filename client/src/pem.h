// SPDX-License-Identifier: Apache-2.0
// Looks at certificates before gRPC gets them, which would only say that it cannot connect.
#ifndef SFL_CLIENT_PEM_H
#define SFL_CLIENT_PEM_H

// All return NULL, or what is wrong, in static storage, to stand after the name of the file.

// At least one certificate.
const char *sfl_pem_check_ca(const char *pem);

// A certificate that holds today, with the chain behind it, if it has one.
const char *sfl_pem_check_certificate(const char *pem);

// A private key without a password, the one of that certificate.
const char *sfl_pem_check_key(const char *pem, const char *certificate_pem);

#endif
