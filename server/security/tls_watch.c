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
    const char *const watched[] = {paths->cert, paths->key, paths->client_ca};
    sfl_watched_files_init(&watch->files, watched);
    enum sfl_status status = sfl_tls_files_read(paths, texts_out, problem_out);
    if (status == SFL_OK)
        note_good(watch, texts_out);
    return status;
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
    bool are_changing = sfl_watched_files_look(&watch->files) == SFL_WATCHED_CHANGING;
    if (is_asked_for)
        watch->failures = SFL_TLS_PATIENCE;
    else if (!are_changing && watch->failures <= SFL_TLS_PATIENCE)
        watch->failures++;
    if (are_changing || watch->failures != SFL_TLS_PATIENCE)
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
    if (is_asked_for) {
        sfl_watched_files_settle(&watch->files);
        return read_again(watch, true, texts_out, problem_out);
    }
    enum sfl_watched_news news = sfl_watched_files_look(&watch->files);
    if (news == SFL_WATCHED_SETTLED)
        watch->failures = 0;
    // What is broken may also become good by the clock: a certificate that does not hold yet.
    if (news == SFL_WATCHED_SETTLED || (news == SFL_WATCHED_SAME && watch->failures > 0))
        return read_again(watch, false, texts_out, problem_out);
    return SFL_TLS_SAME;
}
