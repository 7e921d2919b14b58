// SPDX-License-Identifier: Apache-2.0
// Which build this is. Static storage, any thread.
#ifndef SFL_BASE_VERSION_H
#define SFL_BASE_VERSION_H

// The release, such as "0.1.0".
const char *sfl_version(void);

// The git revision, with "-dirty" when files differed from it; found anew by every build. Without
// git it is what SFL_REVISION was set to when CMake ran, or "unknown".
const char *sfl_revision(void);

// The gRPC that this build links, such as "1.51, shared" or "1.85.3, static".
const char *sfl_grpc_version(void);

#endif
