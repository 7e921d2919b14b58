// SPDX-License-Identifier: Apache-2.0
// Whether a file has changed since somebody looked: by what stat() says of what its path leads to,
// so that a link that is swapped (Kubernetes), a rename and a write in place all count.
#ifndef SFL_SECURITY_WATCHED_FILE_H
#define SFL_SECURITY_WATCHED_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

enum { SFL_WATCH_LOOK_MS = 500 }; // between two looks

struct sfl_watched_file {
    const char *path; // borrowed; NULL: none, which never changes
    bool exists;
    struct stat seen;
};

// Notes how the file is now. Call it before you read the file: a change meanwhile is then seen.
void sfl_watched_file_init(struct sfl_watched_file *file, const char *path);

// Whether it is another one than before, and notes how it is. One that is gone, and one that comes
// back, have changed. Takes one stat().
bool sfl_watched_file_look(struct sfl_watched_file *file);

#endif
