// SPDX-License-Identifier: Apache-2.0
// What differs between the versions of gRPC that the programs beside this run on.
#ifndef SFL_BENCH_LIBRARY_H
#define SFL_BENCH_LIBRARY_H

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#if __has_include(<grpc/credentials.h>)
#include <grpc/credentials.h> // newer ones declare the insecure ones here
#endif
#ifdef SFL_GRPC_IS_BUNDLED
#include <singleflightd_grpc.h>
#endif

#include <stdio.h>
#include <stdlib.h>

// As the daemon starts it.
static inline void bench_library_start(void)
{
#ifdef SFL_GRPC_IS_BUNDLED
    singleflightd_grpc_prepare();
#endif
    grpc_init();
}

// The text of a small file, such as a certificate; the program ends when there is none.
static inline char *bench_read_file(const char *path)
{
    enum { BYTES_MAX = 64 * 1024 };
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, BYTES_MAX);
    if (file == NULL || text == NULL || fread(text, 1, BYTES_MAX - 1, file) == 0) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return text;
}

#endif
