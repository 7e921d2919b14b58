// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_BASE_PREFETCH_H
#define SFL_BASE_PREFETCH_H

// Lets the processor fetch the cache line of an address while it goes on. Any address will do.
static inline void sfl_prefetch(const void *address)
{
    __builtin_prefetch(address);
    // A function that does nothing else is taken for one without effect, and its calls are dropped,
    // unless there is something in it that the compiler cannot see through.
    __asm__ volatile("");
}

#endif
