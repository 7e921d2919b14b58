// SPDX-License-Identifier: Apache-2.0
// Memory that is allocated, yet must not be touched: in a build with the address sanitizer, a touch
// stops the program. In other builds nothing happens.
#ifndef SFL_BASE_POISON_H
#define SFL_BASE_POISON_H

#if defined(__has_feature) // clang's way to ask
#if __has_feature(address_sanitizer)
#define SFL_WITH_ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SFL_WITH_ADDRESS_SANITIZER
#endif

#ifdef SFL_WITH_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#endif

#endif
