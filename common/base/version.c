// SPDX-License-Identifier: Apache-2.0
#include "base/version.h"

#include "base/version_generated.h"

const char *sfl_version(void)
{
    return SFL_VERSION_TEXT;
}

const char *sfl_revision(void)
{
    return SFL_REVISION_TEXT;
}

const char *sfl_grpc_version(void)
{
    return SFL_GRPC_TEXT;
}
