// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_BASE_ENTROPY_H
#define SFL_BASE_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

// Fills `buffer` with random bytes from the kernel. Aborts when the kernel has none to give, which
// Linux does not do once it is up. Any thread.
void sfl_entropy_fill(void *buffer, size_t size);

// One random number. Any thread.
uint64_t sfl_entropy_u64(void);

#endif
