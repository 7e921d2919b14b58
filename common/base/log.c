// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <unistr.h>

// An escaped value is cut here, so that a long key leaves room for the other fields.
#define VALUE_BYTES_MAX 1024
#define CUT_MARK "..."

// Events of the program are known when it is compiled, and so are the places of a library; should
// there be more than these, the last slot counts all that found no slot of their own.
#define EVENT_SLOTS 128

// Those of callers, who may be many: a slot serves another one when its second is over.
#define CALLER_SLOTS 64
#define CALLER_BYTES_MAX 256

// A caller has this part of what an event has in a second.
#define CALLER_PART 4

#define WINDOW_MS 1000

// What repeats are counted by.
struct subject {
    const char *event; // NULL: none
    const char *file;  // of a library's line; NULL for one of ours
    int line;
    const char *who; // the caller that brought it about; NULL: nobody in particular
};

// How often it was logged within the second that began at window_ms.
struct event_slot {
    struct subject subject;
    uint64_t window_ms;
    uint32_t written;
    uint64_t suppressed;
    enum sfl_log_level level; // of the last line that was suppressed
    char who[CALLER_BYTES_MAX];
};

// A macro, because C lets no object initialise another at file scope.
#define DEFAULT_OPTIONS                                                                            \
    {                                                                                              \
        .level = SFL_LOG_INFO, .format = SFL_LOG_LOGFMT, .fd = STDERR_FILENO,                      \
        .repeats_per_second = 20, .now_ms = sfl_clock_now_ms, .wall_us = sfl_clock_wall_us,        \
    }

static struct {
    pthread_mutex_t lock; // over slots; the options change only while there is one thread
    struct sfl_log_options options;
    struct event_slot slots[EVENT_SLOTS + CALLER_SLOTS];
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .options = DEFAULT_OPTIONS};

struct sfl_log_options sfl_log_defaults(void)
{
    return (struct sfl_log_options)DEFAULT_OPTIONS;
}

void sfl_log_configure(const struct sfl_log_options *options)
{
    pthread_mutex_lock(&logger.lock);
    logger.options = *options;
    memset(logger.slots, 0, sizeof(logger.slots));
    pthread_mutex_unlock(&logger.lock);
}

bool sfl_log_is_on(enum sfl_log_level level)
{
    return level <= logger.options.level;
}

static const char *level_name(enum sfl_log_level level)
{
    switch (level) {
    case SFL_LOG_ERROR:
        return "error";
    case SFL_LOG_WARN:
        return "warn";
    case SFL_LOG_INFO:
        return "info";
    case SFL_LOG_DEBUG:
        return "debug";
    }
    return "unknown";
}

// ---- The line under construction

// Bytes appended after `overflowed` are dropped; the writer then goes back to a known length.
struct line {
    char bytes[SFL_LOG_LINE_MAX];
    size_t size;
    size_t size_max; // at most sizeof(bytes): the end of the line always has its room
    bool overflowed;
    enum sfl_log_format format;
};

static void put(struct line *line, const char *bytes, size_t size)
{
    if (line->overflowed || size > line->size_max - line->size) {
        line->overflowed = true;
        return;
    }
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct line *line, const char *format,
                                                             ...)
{
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    assert(size >= 0 && (size_t)size < sizeof(text));
    put(line, text, (size_t)size);
}

// ---- Values

// One character of a value as it stands in the line; NUL-ended.
struct escaped {
    char text[16];
};

static bool is_control(ucs4_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

// Escapes for the two characters and the white space that both formats write alike; NULL for the
// rest.
static const char *common_escape(ucs4_t character)
{
    if (character == '"')
        return "\\\"";
    if (character == '\\')
        return "\\\\";
    if (character == '\n')
        return "\\n";
    if (character == '\r')
        return "\\r";
    if (character == '\t')
        return "\\t";
    return NULL;
}

// Escapes the character at the beginning of `rest`, which is not empty, and returns how many bytes
// of `rest` it was. A byte that is not UTF-8 is \xNN in logfmt and, as JSON has no bytes, U+FFFD.
static size_t escape_one(enum sfl_log_format format, struct sfl_span rest, struct escaped *out)
{
    ucs4_t character = 0;
    int size = u8_mbtoucr(&character, rest.data, rest.size);
    if (size <= 0) {
        if (format == SFL_LOG_JSON)
            snprintf(out->text, sizeof(out->text), "\\ufffd");
        else
            snprintf(out->text, sizeof(out->text), "\\x%02x", rest.data[0]);
        return 1;
    }
    const char *common = common_escape(character);
    if (common != NULL)
        snprintf(out->text, sizeof(out->text), "%s", common);
    else if (is_control(character))
        snprintf(out->text, sizeof(out->text), "\\u%04x", (unsigned)character);
    else
        snprintf(out->text, sizeof(out->text), "%.*s", size, (const char *)rest.data);
    return (size_t)size;
}

static void put_quoted(struct line *line, struct sfl_span value)
{
    size_t room = VALUE_BYTES_MAX;
    put_text(line, "\"");
    while (value.size > 0) {
        struct escaped escaped;
        size_t consumed = escape_one(line->format, value, &escaped);
        size_t size = strlen(escaped.text);
        if (size > room) {
            put_text(line, CUT_MARK);
            break;
        }
        put(line, escaped.text, size);
        room -= size;
        value.data += consumed;
        value.size -= consumed;
    }
    put_text(line, "\"");
}

// logfmt leaves a value bare when no reader could take it for something else.
static bool is_bare(struct sfl_span value)
{
    if (value.data == NULL || value.size == 0 || value.size > VALUE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = value.data[i];
        if (byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '=' || byte == '\\')
            return false;
    }
    return true;
}

static void put_span(struct line *line, struct sfl_span value)
{
    if (value.data == NULL && value.size == 0) {
        put_text(line, line->format == SFL_LOG_JSON ? "null" : "");
        return;
    }
    if (line->format == SFL_LOG_LOGFMT && is_bare(value)) {
        put(line, (const char *)value.data, value.size);
        return;
    }
    put_quoted(line, value);
}

static void put_value(struct line *line, const struct sfl_log_field *field)
{
    switch (field->kind) {
    case SFL_LOG_EVENT:
        put_span(line, sfl_span_of_text(field->name));
        break;
    case SFL_LOG_TEXT:
        put_span(line, field->text);
        break;
    case SFL_LOG_UNSIGNED:
        put_format(line, "%" PRIu64, field->u64);
        break;
    case SFL_LOG_SIGNED:
        put_format(line, "%" PRId64, field->i64);
        break;
    case SFL_LOG_TRUTH:
        put_text(line, field->truth ? "true" : "false");
        break;
    }
}

// ---- Lines

// The name of a field, with what stands before and behind it.
static void put_name(struct line *line, const char *name)
{
    bool first = line->size == 0;
    if (line->format == SFL_LOG_JSON) {
        put_text(line, first ? "{\"" : ",\"");
        put_text(line, name);
        put_text(line, "\":");
        return;
    }
    put_text(line, first ? "" : " ");
    put_text(line, name);
    put_text(line, "=");
}

// RFC 3339 in UTC, such as 2026-01-31T12:00:00.000Z.
static void put_time(struct line *line, uint64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;
    char text[32] = "";
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    const char *quote = line->format == SFL_LOG_JSON ? "\"" : "";
    put_name(line, "time");
    put_format(line, "%s%s.%03uZ%s", quote, text, (unsigned)(wall_us / 1000 % 1000), quote);
}

static void put_field(struct line *line, const struct sfl_log_field *field)
{
    put_name(line, field->kind == SFL_LOG_EVENT ? "event" : field->name);
    put_value(line, field);
}

static void write_line(const struct line *line)
{
    // Standard error is all there is to complain to, so a failure other than a signal has no one
    // to be told of. Errors of the code around us must survive a line of log.
    int saved = errno;
    size_t written = 0;
    while (written < line->size) {
        ssize_t size = write(logger.options.fd, line->bytes + written, line->size - written);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            break;
        written += (size_t)size;
    }
    errno = saved;
}

static void format_and_write(enum sfl_log_level level, const struct sfl_log_field *fields,
                             size_t count)
{
    const struct sfl_log_field mark = sfl_log_bool("truncated", true);
    struct line line;
    line.size = 0;
    line.size_max = sizeof(line.bytes) - 32; // room for the mark and the end
    line.overflowed = false;
    line.format = logger.options.format;

    put_time(&line, logger.options.wall_us());
    const struct sfl_log_field level_field = sfl_log_str("level", level_name(level));
    put_field(&line, &level_field);
    bool truncated = false;
    for (size_t i = 0; i < count; i++) {
        size_t before = line.size;
        put_field(&line, &fields[i]);
        if (line.overflowed) {
            line.size = before;
            line.overflowed = false;
            truncated = true;
        }
    }
    line.size_max = sizeof(line.bytes);
    if (truncated)
        put_field(&line, &mark);
    put_text(&line, line.format == SFL_LOG_JSON ? "}\n" : "\n");
    write_line(&line);
}

// ---- Repeats

static bool is_same_text(const char *one, const char *other)
{
    return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
}

static bool is_same(const struct subject *one, const struct subject *other)
{
    return one->line == other->line && is_same_text(one->event, other->event) &&
           is_same_text(one->file, other->file);
}

static bool window_is_over(const struct event_slot *slot, uint64_t now_ms)
{
    return now_ms - slot->window_ms >= WINDOW_MS;
}

static bool is_free(const struct event_slot *slot, uint64_t now_ms)
{
    return slot->subject.event == NULL || (slot->suppressed == 0 && window_is_over(slot, now_ms));
}

// The slot of an event and a caller; NULL: too many have one. Under the lock.
static struct event_slot *find_callers_slot(const struct subject *subject, uint64_t now_ms)
{
    struct event_slot *free_slot = NULL;
    for (size_t i = EVENT_SLOTS; i < EVENT_SLOTS + CALLER_SLOTS; i++) {
        struct event_slot *slot = &logger.slots[i];
        if (is_same_text(slot->subject.event, subject->event) &&
            strncmp(slot->who, subject->who, CALLER_BYTES_MAX - 1) == 0)
            return slot;
        if (free_slot == NULL && is_free(slot, now_ms))
            free_slot = slot;
    }
    if (free_slot == NULL)
        return NULL;
    *free_slot = (struct event_slot){.subject = *subject, .window_ms = now_ms};
    snprintf(free_slot->who, sizeof(free_slot->who), "%s", subject->who);
    free_slot->subject.who = free_slot->who;
    return free_slot;
}

// The slot of an event; under the lock.
static struct event_slot *find_slot(const struct subject *subject, uint64_t now_ms)
{
    size_t i = 0;
    for (; i < EVENT_SLOTS - 1; i++) {
        struct event_slot *slot = &logger.slots[i];
        if (slot->subject.event != NULL && !is_same(&slot->subject, subject))
            continue;
        if (slot->subject.event == NULL) {
            *slot = (struct event_slot){.subject = *subject, .window_ms = now_ms};
            slot->subject.who = NULL;
        }
        return slot;
    }
    struct event_slot *last = &logger.slots[i];
    if (last->subject.event == NULL)
        *last = (struct event_slot){.subject.event = "others", .window_ms = now_ms};
    return last;
}

// Whether this line goes out; counts it either way.
static bool admit(enum sfl_log_level level, const struct subject *subject, uint64_t now_ms)
{
    if (logger.options.repeats_per_second == 0)
        return true;
    pthread_mutex_lock(&logger.lock);
    uint32_t most = logger.options.repeats_per_second;
    struct event_slot *slot = subject->who == NULL ? NULL : find_callers_slot(subject, now_ms);
    if (slot != NULL)
        most = (most + CALLER_PART - 1) / CALLER_PART;
    else
        slot = find_slot(subject, now_ms);
    if (window_is_over(slot, now_ms) && slot->suppressed == 0) {
        slot->window_ms = now_ms;
        slot->written = 0;
    }
    bool admitted = slot->written < most;
    if (admitted) {
        slot->written++;
    } else {
        slot->suppressed++;
        slot->level = level;
    }
    pthread_mutex_unlock(&logger.lock);
    return admitted;
}

// Takes out the next count of suppressed lines that is due, from slot *at on. The line is written
// outside the lock.
static bool take_suppressed(uint64_t now_ms, bool everything, size_t *at,
                            struct event_slot *taken_out)
{
    bool found = false;
    pthread_mutex_lock(&logger.lock);
    for (; *at < EVENT_SLOTS + CALLER_SLOTS && !found; (*at)++) {
        struct event_slot *slot = &logger.slots[*at];
        if (slot->suppressed == 0 || (!everything && !window_is_over(slot, now_ms)))
            continue;
        *taken_out = *slot;
        slot->suppressed = 0;
        slot->written = 0;
        slot->window_ms = now_ms;
        found = true;
    }
    pthread_mutex_unlock(&logger.lock);
    return found;
}

void sfl_log_flush(bool everything)
{
    uint64_t now_ms = logger.options.now_ms();
    struct event_slot taken;
    size_t at = 0;
    while (take_suppressed(now_ms, everything, &at, &taken)) {
        struct sfl_log_field fields[5] = {
            {.name = "log_suppressed", .kind = SFL_LOG_EVENT},
            sfl_log_str("of", taken.subject.event),
            sfl_log_u64("lines", taken.suppressed),
        };
        size_t count = 3;
        if (taken.subject.who != NULL)
            fields[count++] = sfl_log_str("who", taken.who);
        if (taken.subject.file != NULL) {
            fields[count++] = sfl_log_str("file", taken.subject.file);
            fields[count++] = sfl_log_i64("line", taken.subject.line);
        }
        format_and_write(taken.level, fields, count);
    }
}

static void write_repeatable(enum sfl_log_level level, const struct subject *subject,
                             const struct sfl_log_field *fields, size_t count)
{
    if (!sfl_log_is_on(level))
        return;
    sfl_log_flush(false);
    if (admit(level, subject, logger.options.now_ms()))
        format_and_write(level, fields, count);
}

void sfl_log_write(enum sfl_log_level level, const struct sfl_log_field *fields, size_t count)
{
    assert(count > 0 && fields[0].kind == SFL_LOG_EVENT);
    const struct subject subject = {.event = fields[0].name};
    write_repeatable(level, &subject, fields, count);
}

void sfl_log_write_of(enum sfl_log_level level, const char *who, const struct sfl_log_field *fields,
                      size_t count)
{
    assert(count > 0 && fields[0].kind == SFL_LOG_EVENT);
    const struct subject subject = {.event = fields[0].name, .who = who};
    write_repeatable(level, &subject, fields, count);
}

void sfl_log_foreign(enum sfl_log_level level, const char *event, const char *file, int line,
                     struct sfl_span text)
{
    const struct subject subject = {.event = event, .file = file, .line = line};
    const struct sfl_log_field fields[] = {
        {.name = event, .kind = SFL_LOG_EVENT},
        sfl_log_str("file", file),
        sfl_log_i64("line", line),
        sfl_log_span("text", text),
    };
    write_repeatable(level, &subject, fields, sizeof(fields) / sizeof(fields[0]));
}
