// SPDX-License-Identifier: Apache-2.0
// Looks whether the files of the daemon's TLS have changed, and says what is to be done. One
// thread.
#ifndef SFL_SECURITY_TLS_WATCH_H
#define SFL_SECURITY_TLS_WATCH_H

#include "security/tls_files.h"
#include "security/watched_file.h"

struct sfl_tls_counts {
    uint64_t reloads; // since the start, the failed ones among them
    uint64_t reloads_failed;
    bool last_reload_was_good;  // true when there was none
    uint64_t last_good_unix_ms; // when what is in force was read
    int64_t not_after_unix_s;   // when it runs out
};

struct sfl_tls_watch {
    struct sfl_tls_paths paths;
    struct sfl_watched_files files;
    unsigned failures; // to read them since they changed last
    struct sfl_tls_counts counts;
};

// Reads the files for the first time; the paths are borrowed from now on. Errors as of
// sfl_tls_files_read().
enum sfl_status sfl_tls_watch_open(struct sfl_tls_watch *watch, const struct sfl_tls_paths *paths,
                                   struct sfl_tls_texts *texts_out,
                                   char problem_out[SFL_SECURITY_PROBLEM_MAX]) SFL_MUST_USE;

enum { SFL_WATCH_LOOK_MS = 500 }; // between two looks

// What is broken is said when it has stayed so for so many looks: whoever exchanges a pair may take
// some time from the one file to the other.
enum { SFL_TLS_PATIENCE = 6 };

enum sfl_tls_news {
    SFL_TLS_SAME,
    SFL_TLS_NEW,    // *texts_out is what the files have now, and good
    SFL_TLS_BROKEN, // since they changed last; said once. problem_out says how
};

// To be called every SFL_WATCH_LOOK_MS. Files that have changed are read when they have been the
// same for one more look: one of them may be in place already while another is not. `is_asked_for`:
// they are read now, changed or not.
enum sfl_tls_news sfl_tls_watch_look(struct sfl_tls_watch *watch, bool is_asked_for,
                                     struct sfl_tls_texts *texts_out,
                                     char problem_out[SFL_SECURITY_PROBLEM_MAX]) SFL_MUST_USE;

#endif
