// SPDX-License-Identifier: Apache-2.0
// Whether files have changed since somebody looked: by what stat() says of what their paths lead
// to, so that a link that is swapped (Kubernetes), a rename and a write in place all count.
#ifndef SFL_SECURITY_WATCHED_FILE_H
#define SFL_SECURITY_WATCHED_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

enum { SFL_WATCHED_FILES = 3 };

struct sfl_watched_file {
    const char *path; // borrowed; NULL: none, which never changes
    bool exists;
    struct stat seen;
};

// Files that belong together. Zeroed: none.
struct sfl_watched_files {
    struct sfl_watched_file files[SFL_WATCHED_FILES];
    bool are_changing;
};

// Notes how the files are now. Call it before you read them: a change meanwhile is then seen.
void sfl_watched_files_init(struct sfl_watched_files *watched,
                            const char *const paths[static SFL_WATCHED_FILES]);

// What has become of them since the look before.
enum sfl_watched_news {
    SFL_WATCHED_SAME,
    SFL_WATCHED_CHANGING, // some have changed: another may be about to, or be half written
    SFL_WATCHED_SETTLED,  // they had, and are the same for one more look: now they can be read
};

// Looks at all of them, by a stat() for each. One that is gone, and one that comes back, have
// changed.
enum sfl_watched_news sfl_watched_files_look(struct sfl_watched_files *watched);

// They are read now, whatever the look before said: notes how they are.
void sfl_watched_files_settle(struct sfl_watched_files *watched);

#endif
