// SPDX-License-Identifier: Apache-2.0
// A disk that is full, fails or hangs: a program that links this has its own pwrite, writev and
// fdatasync, also for the libraries that it uses. At first everything works.
#ifndef SFL_TESTS_SUPPORT_DISK_H
#define SFL_TESTS_SUPPORT_DISK_H

#include <stdint.h>

// From now on everything works again.
void disk_mend(void);

// Every write fails with this errno from now on.
void disk_fail(int error);

// Only writes that begin below `bytes` of the file succeed; those that go beyond write a part, and
// the rest fails for want of space.
void disk_end_at(uint64_t bytes);

// Writes of more than `bytes` at once fail for want of space.
void disk_refuse_above(uint64_t bytes);

// The next write to the file's head (its first two pages) is done, and said to have failed; all
// that come after it fail.
void disk_break_in_the_head(void);

// Whoever syncs waits until disk_go_on; disk_await returns when somebody does.
void disk_hang(void);
void disk_await(void);
void disk_go_on(void);

// Syncs do nothing from now on, for tests that make thousands of files.
void disk_skip_syncs(void);

#endif
