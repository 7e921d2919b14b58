// SPDX-License-Identifier: Apache-2.0
#include "security/tls_watch.h"

#include "base/clock.h"

#include <stddef.h>

static void note_good(struct sfl_tls_watch *watch, const struct sfl_tls_texts *texts)
{
    watch->failures = 0;
    watch->counts.last_reload_was_good = true;
    watch->counts.last_good_unix_ms = sfl_clock_wall_us() / 1000;
    watch->counts.not_after_unix_s = texts->not_after_unix_s;
}

enum sfl_status sfl_tls_watch_open(struct sfl_tls_watch *watch, const struct sfl_tls_paths *paths,
                                   struct sfl_tls_texts *texts_out,
                                   char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    *watch = (struct sfl_tls_watch){.paths = *paths};
    sfl_watched_file_init(&watch->files[0], paths->cert);
    sfl_watched_file_init(&watch->files[1], paths->key);
    sfl_watched_file_init(&watch->files[2], paths->client_ca);
    enum sfl_status status = sfl_tls_files_read(paths, texts_out, problem_out);
    if (status == SFL_OK)
        note_good(watch, texts_out);
    return status;
}

static bool have_changed(struct sfl_tls_watch *watch)
{
    bool have = false;
    for (size_t i = 0; i < sizeof(watch->files) / sizeof(watch->files[0]); i++)
        have = sfl_watched_file_look(&watch->files[i]) || have;
    return have;
}

static enum sfl_tls_news read_again(struct sfl_tls_watch *watch, bool is_asked_for,
                                    struct sfl_tls_texts *texts_out, char *problem_out)
{
    if (sfl_tls_files_read(&watch->paths, texts_out, problem_out) == SFL_OK) {
        watch->counts.reloads++;
        note_good(watch, texts_out);
        return SFL_TLS_NEW;
    }
    // Read while they were exchanged?
    watch->is_changing = have_changed(watch);
    if (is_asked_for)
        watch->failures = SFL_TLS_PATIENCE;
    else if (!watch->is_changing && watch->failures <= SFL_TLS_PATIENCE)
        watch->failures++;
    if (watch->is_changing || watch->failures != SFL_TLS_PATIENCE)
        return SFL_TLS_SAME;
    watch->counts.reloads++;
    watch->counts.reloads_failed++;
    watch->counts.last_reload_was_good = false;
    return SFL_TLS_BROKEN;
}

enum sfl_tls_news sfl_tls_watch_look(struct sfl_tls_watch *watch, bool is_asked_for,
                                     struct sfl_tls_texts *texts_out,
                                     char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    bool was_changing = watch->is_changing;
    watch->is_changing = have_changed(watch) && !is_asked_for;
    if (watch->is_changing)
        return SFL_TLS_SAME;
    if (was_changing)
        watch->failures = 0;
    // What is broken may also become good by the clock: a certificate that does not hold yet.
    if (is_asked_for || was_changing || watch->failures > 0)
        return read_again(watch, is_asked_for, texts_out, problem_out);
    return SFL_TLS_SAME;
}
