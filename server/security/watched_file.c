// SPDX-License-Identifier: Apache-2.0
#include "security/watched_file.h"

#include <stddef.h>

static bool is_same_time(struct timespec one, struct timespec other)
{
    return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

// The time of the last change of any kind (ctime) also sees new rights, and a file that was put
// back with its old time.
static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino &&
           one->st_size == other->st_size && is_same_time(one->st_mtim, other->st_mtim) &&
           is_same_time(one->st_ctim, other->st_ctim);
}

static void note(struct sfl_watched_file *file, const char *path)
{
    *file = (struct sfl_watched_file){.path = path};
    file->exists = path != NULL && stat(path, &file->seen) == 0;
}

// Whether it is another one than before.
static bool look(struct sfl_watched_file *file)
{
    struct sfl_watched_file before = *file;
    note(file, before.path);
    if (!file->exists || !before.exists)
        return file->exists != before.exists;
    return !is_same(&file->seen, &before.seen);
}

void sfl_watched_files_init(struct sfl_watched_files *watched,
                            const char *const paths[static SFL_WATCHED_FILES])
{
    watched->are_changing = false;
    for (size_t i = 0; i < SFL_WATCHED_FILES; i++)
        note(&watched->files[i], paths[i]);
}

enum sfl_watched_news sfl_watched_files_look(struct sfl_watched_files *watched)
{
    bool were_changing = watched->are_changing;
    watched->are_changing = false;
    for (size_t i = 0; i < SFL_WATCHED_FILES; i++)
        watched->are_changing = look(&watched->files[i]) || watched->are_changing;
    if (watched->are_changing)
        return SFL_WATCHED_CHANGING;
    return were_changing ? SFL_WATCHED_SETTLED : SFL_WATCHED_SAME;
}

void sfl_watched_files_settle(struct sfl_watched_files *watched)
{
    (void)sfl_watched_files_look(watched);
    watched->are_changing = false;
}
