// SPDX-License-Identifier: Apache-2.0
// Structured log lines: a time, a level, the name of an event, and its fields.
//
//     sfl_log(SFL_LOG_INFO, "listening", SFL_STR("address", address), SFL_U64("port", port));
//     time=2026-01-31T12:00:00.000Z level=info event=listening address=127.0.0.1 port=7433
//
// A line is written by one write(2) of at most SFL_LOG_LINE_MAX bytes, so lines of several threads,
// and of several processes on one pipe, never mix. Payloads and credentials are never logged.
#ifndef SFL_BASE_LOG_H
#define SFL_BASE_LOG_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// PIPE_BUF on Linux: up to here, a write to a pipe is never torn.
#define SFL_LOG_LINE_MAX 4096

// In the order of weight: a level lets itself and those before it through.
enum sfl_log_level {
    SFL_LOG_ERROR,
    SFL_LOG_WARN,
    SFL_LOG_INFO,
    SFL_LOG_DEBUG,
};

enum sfl_log_format {
    SFL_LOG_LOGFMT,
    SFL_LOG_JSON,
};

enum sfl_log_kind {
    SFL_LOG_EVENT, // the name of the event: always the first field, put there by sfl_log()
    SFL_LOG_TEXT,
    SFL_LOG_UNSIGNED,
    SFL_LOG_SIGNED,
    SFL_LOG_TRUTH,
};

struct sfl_log_field {
    const char *name;
    enum sfl_log_kind kind;
    union {
        struct sfl_span text; // data NULL: no value at all, which JSON writes as null
        uint64_t u64;
        int64_t i64;
        bool truth;
    };
};

struct sfl_log_options {
    enum sfl_log_level level;
    enum sfl_log_format format;
    int fd; // borrowed; written to without buffering
    // How many lines of one event go out per second; what comes above is counted, and the count is
    // logged once the second is over ("log_suppressed"). 0: no bound.
    uint32_t repeats_per_second;
    // The clocks: as in base/clock.h.
    uint64_t (*now_ms)(void);
    uint64_t (*wall_us)(void);
};

// What holds until sfl_log_configure() is called: info, logfmt, standard error, 20 per second, the
// clocks of the process.
struct sfl_log_options sfl_log_defaults(void);

// Replaces the options and forgets the counts of repeats. To be called before threads start.
void sfl_log_configure(const struct sfl_log_options *options);

// Whether lines of this level go out. Any thread.
bool sfl_log_is_on(enum sfl_log_level level);

// Writes one line; `fields[0]` is the event. Use sfl_log(). Borrows everything until it returns,
// but for the event's name, which must be static. Long values are cut ("..."), and fields that do
// not fit the line are left out ("truncated=true"). Any thread; never fails: a line that standard
// error does not take is lost.
void sfl_log_write(enum sfl_log_level level, const struct sfl_log_field *fields, size_t count);

// Writes the counts of suppressed repeats whose second is over, or all of them when `everything` is
// true, as at the end of the program. Other lines do so too, so this is for quiet times: call it
// now and then. Any thread.
void sfl_log_flush(bool everything);

// As sfl_log_write, for what a caller brings about: use sfl_log_of(). Repeats are bounded for each
// caller by itself, at a quarter of the bound, so that one that is noisy hides no other; of more
// than 64 that do such things within a second, the rest have one bound for all of them. `who`: its
// name, of which the first 255 bytes count.
void sfl_log_write_of(enum sfl_log_level level, const char *who, const struct sfl_log_field *fields,
                      size_t count);

// A line that a library wrote, with the place in the library's source (`file` is static). Repeats
// are bounded for each place by itself, so that one that is noisy hides no other. As sfl_log_write.
void sfl_log_foreign(enum sfl_log_level level, const char *event, const char *file, int line,
                     struct sfl_span text);

// sfl_log(level, "event_name", field...): the fields are worked out only when the level is on.
// The event's name is a string literal.
#define sfl_log(level, event, ...)                                                                 \
    do {                                                                                           \
        if (sfl_log_is_on(level)) {                                                                \
            const struct sfl_log_field sfl_log_fields_[] = {                                       \
                {.name = "" event, .kind = SFL_LOG_EVENT}, ##__VA_ARGS__};                         \
            sfl_log_write(level, sfl_log_fields_,                                                  \
                          sizeof(sfl_log_fields_) / sizeof(sfl_log_fields_[0]));                   \
        }                                                                                          \
    } while (0)

// The same for what a caller brings about, whose name is the first field, "who".
#define sfl_log_of(level, event, caller, ...)                                                      \
    do {                                                                                           \
        if (sfl_log_is_on(level)) {                                                                \
            const struct sfl_log_field sfl_log_fields_[] = {                                       \
                {.name = "" event, .kind = SFL_LOG_EVENT}, SFL_STR("who", caller), ##__VA_ARGS__}; \
            sfl_log_write_of(level, caller, sfl_log_fields_,                                       \
                             sizeof(sfl_log_fields_) / sizeof(sfl_log_fields_[0]));                \
        }                                                                                          \
    } while (0)

// The fields. Names are static: lower case, snake_case. Values are escaped, whatever their bytes.
#define SFL_STR(name, value) sfl_log_str((name), (value))
#define SFL_SPAN(name, value) sfl_log_span((name), (value))
#define SFL_U64(name, value) sfl_log_u64((name), (value))
#define SFL_I64(name, value) sfl_log_i64((name), (value))
#define SFL_BOOL(name, value) sfl_log_bool((name), (value))
#define SFL_STATUS(name, value) sfl_log_str((name), sfl_status_text(value))

static inline struct sfl_log_field sfl_log_span(const char *name, struct sfl_span value)
{
    return (struct sfl_log_field){.name = name, .kind = SFL_LOG_TEXT, .text = value};
}

// `value` may be NULL.
static inline struct sfl_log_field sfl_log_str(const char *name, const char *value)
{
    return sfl_log_span(name, value == NULL ? sfl_span_of(NULL, 0) : sfl_span_of_text(value));
}

static inline struct sfl_log_field sfl_log_u64(const char *name, uint64_t value)
{
    return (struct sfl_log_field){.name = name, .kind = SFL_LOG_UNSIGNED, .u64 = value};
}

static inline struct sfl_log_field sfl_log_i64(const char *name, int64_t value)
{
    return (struct sfl_log_field){.name = name, .kind = SFL_LOG_SIGNED, .i64 = value};
}

static inline struct sfl_log_field sfl_log_bool(const char *name, bool value)
{
    return (struct sfl_log_field){.name = name, .kind = SFL_LOG_TRUTH, .truth = value};
}

#endif
