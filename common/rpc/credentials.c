// SPDX-License-Identifier: Apache-2.0
#include "rpc/credentials_private.h"

grpc_server_credentials *sfl_server_credentials_create(void)
{
    return grpc_insecure_server_credentials_create();
}

grpc_channel_credentials *sfl_channel_credentials_create(void)
{
    return grpc_insecure_credentials_create();
}
