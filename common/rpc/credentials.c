// SPDX-License-Identifier: Apache-2.0
#include "rpc/credentials_private.h"

#include "rpc/certificates_private.h"

grpc_server_credentials *sfl_server_credentials_create(struct sfl_certificates *certificates)
{
    return certificates == NULL ? grpc_insecure_server_credentials_create()
                                : sfl_certificates_for_port(certificates);
}

grpc_channel_credentials *sfl_channel_credentials_create(const struct sfl_channel_tls *tls)
{
    if (tls == NULL)
        return grpc_insecure_credentials_create();
    grpc_ssl_pem_key_cert_pair pair = {.private_key = tls->key, .cert_chain = tls->cert};
    return grpc_ssl_credentials_create_ex(tls->ca, tls->cert == NULL ? NULL : &pair, NULL, NULL);
}
