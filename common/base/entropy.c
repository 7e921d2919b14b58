// SPDX-License-Identifier: Apache-2.0
#include "base/entropy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void sfl_entropy_fill(void *buffer, size_t size)
{
    unsigned char *at = buffer;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        at += got;
        size -= (size_t)got;
    }
}

uint64_t sfl_entropy_u64(void)
{
    uint64_t number;
    sfl_entropy_fill(&number, sizeof(number));
    return number;
}
