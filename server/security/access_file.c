// SPDX-License-Identifier: Apache-2.0
// The access file. inih takes it apart; what it would cut off in silence (sections, long names) is
// looked at here first.
//
// The file is read twice: names may be used before [who] tells them.
#include "base/duration.h"
#include "security/access_private.h"
#include "security/lines_private.h"

#include <ini.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum room {
    ROOM_NONE,
    ROOM_WHO,
    ROOM_GROUP,
    ROOM_SERVER,
};

struct reading {
    const char *path;
    struct sfl_span rest;
    struct sfl_access *access;
    char *problem;
    enum sfl_status status; // the first failure counts
    unsigned line;          // the one that was read last, from 1
    bool is_who_pass;
    bool is_continuation; // the line goes on with the list of the one before
    bool has_entry;       // in this section, which a line can go on with
    enum room room;
    bool has_who;
    bool has_server;
    unsigned seen; // of the words of this section, a bit for each
};

#define REFUSE(reading, ...)                                                                       \
    do {                                                                                           \
        if ((reading)->status == SFL_OK) {                                                         \
            sfl_security_problem((reading)->problem, (reading)->path, (reading)->line,             \
                                 __VA_ARGS__);                                                     \
            (reading)->status = SFL_INVALID_ARGUMENT;                                              \
        }                                                                                          \
    } while (0)

static void lack_memory(struct reading *reading)
{
    if (reading->status == SFL_OK)
        sfl_security_problem(reading->problem, reading->path, 0, "no memory for it");
    reading->status = SFL_NO_MEMORY;
}

// One more item of `size` bytes behind the `count` that are there; NULL when there is no memory.
static void *grow(void *items, uint32_t count, size_t size)
{
    // Powers of two have been used up.
    if ((count & (count - 1)) != 0)
        return items;
    return realloc(items, (count == 0 ? 1 : 2 * (size_t)count) * size);
}

// --- identities ---

struct kind_row {
    const char *prefix;
    enum sfl_identity_kind kind;
    bool is_whole; // nothing comes after it
};

static const struct kind_row kinds[] = {
    {"dns:", SFL_IDENTITY_DNS, false},           {"uri:", SFL_IDENTITY_URI, false},
    {"token:", SFL_IDENTITY_TOKEN, false},       {"unix", SFL_IDENTITY_UNIX, true},
    {"anonymous", SFL_IDENTITY_ANONYMOUS, true},
};

// False when the word is no identity.
static bool find_kind(struct sfl_span word, enum sfl_identity_kind *kind_out)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct sfl_span prefix = sfl_span_of_text(kinds[i].prefix);
        bool is_whole = word.size == prefix.size;
        if (!sfl_span_starts_with(word, prefix) || is_whole != kinds[i].is_whole)
            continue;
        *kind_out = kinds[i].kind;
        return true;
    }
    return false;
}

// Names of hosts mean the same in either case.
static void lower(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    }
}

static char *copy_word(struct sfl_span word)
{
    char *copy = malloc(word.size + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, word.data, word.size);
    copy[word.size] = '\0';
    return copy;
}

static void add_identities(struct reading *reading, struct sfl_identity_patterns *patterns,
                           struct sfl_span words)
{
    struct sfl_span word;
    while ((word = sfl_take_word(&words)).size > 0 && reading->status == SFL_OK) {
        enum sfl_identity_kind kind;
        if (!find_kind(word, &kind)) {
            REFUSE(reading,
                   "\"%.*s\" is no identity: dns:NAME, uri:URI, token:NAME, unix, anonymous",
                   (int)word.size, (const char *)word.data);
            return;
        }
        struct sfl_identity_pattern *items = grow(patterns->items, patterns->count, sizeof(*items));
        char *copy = copy_word(word);
        if (items != NULL)
            patterns->items = items;
        if (items == NULL || copy == NULL) {
            free(copy);
            lack_memory(reading);
            return;
        }
        if (kind == SFL_IDENTITY_DNS)
            lower(copy);
        patterns->items[patterns->count++] =
            (struct sfl_identity_pattern){.kind = kind, .size = (uint32_t)word.size, .text = copy};
    }
}

// --- [who] ---

static struct sfl_who *find_who(const struct sfl_access *access, struct sfl_span name)
{
    for (uint32_t i = 0; i < access->who_count; i++) {
        if (sfl_span_equal(sfl_span_of_text(access->who[i].name), name))
            return &access->who[i];
    }
    return NULL;
}

static struct sfl_who *add_who(struct reading *reading, struct sfl_span name)
{
    struct sfl_access *access = reading->access;
    if (!sfl_is_plain_name(name, SFL_WHO_NAME_MAX)) {
        REFUSE(reading, "\"%.*s\": a name may have 1 to %d of A-Z a-z 0-9 . _ -",
               (int)(name.size > 40 ? 40 : name.size), (const char *)name.data, SFL_WHO_NAME_MAX);
        return NULL;
    }
    if (find_who(access, name) != NULL) {
        REFUSE(reading, "%.*s stands here twice", (int)name.size, (const char *)name.data);
        return NULL;
    }
    struct sfl_who *who = grow(access->who, access->who_count, sizeof(*who));
    char *copy = copy_word(name);
    if (who != NULL)
        access->who = who;
    if (who == NULL || copy == NULL) {
        free(copy);
        lack_memory(reading);
        return NULL;
    }
    who = &access->who[access->who_count++];
    *who = (struct sfl_who){.name = copy};
    return who;
}

static void read_who(struct reading *reading, struct sfl_span name, struct sfl_span words)
{
    if (!reading->is_who_pass)
        return;
    struct sfl_who *who =
        reading->is_continuation ? find_who(reading->access, name) : add_who(reading, name);
    if (who == NULL)
        return;
    add_identities(reading, &who->identities, words);
    if (who->identities.count == 0)
        REFUSE(reading, "%s is nobody: name an identity", who->name);
}

// --- rights ---

static void add_rights(struct reading *reading, struct sfl_rights_list *list, unsigned rights,
                       struct sfl_span words)
{
    struct sfl_span word;
    while ((word = sfl_take_word(&words)).size > 0 && reading->status == SFL_OK) {
        const struct sfl_who *who = find_who(reading->access, word);
        if (who == NULL) {
            REFUSE(reading, "\"%.*s\" is not in [who]", (int)word.size, (const char *)word.data);
            return;
        }
        struct sfl_who_rights *items = grow(list->items, list->count, sizeof(*items));
        if (items == NULL) {
            lack_memory(reading);
            return;
        }
        list->items = items;
        list->items[list->count++] =
            (struct sfl_who_rights){(uint32_t)(who - reading->access->who), rights};
    }
}

struct right_word {
    const char *word;
    unsigned rights;
};

// Who may lead may join.
static const struct right_word right_words[] = {
    {"do", SFL_RIGHT_DO},         {"lead", SFL_RIGHT_LEAD | SFL_RIGHT_DO},
    {"forget", SFL_RIGHT_FORGET}, {"end", SFL_RIGHT_END},
    {"list", SFL_RIGHT_LIST},     {"all", SFL_RIGHTS_OF_GROUP},
};
enum { RIGHT_WORDS = sizeof(right_words) / sizeof(right_words[0]) };

struct quota_word {
    const char *word;
    size_t offset; // in struct sfl_access_quota
    bool is_size;
};

#define QUOTA(member) offsetof(struct sfl_access_quota, member)
static const struct quota_word quota_words[] = {
    {"flights-limit", QUOTA(flights), false},
    {"callers-limit", QUOTA(callers), false},
    {"held-limit", QUOTA(held_bytes), true},
    {"retained-limit", QUOTA(retained_bytes), true},
    {"joins-per-second", QUOTA(joins_per_second), false},
};
enum { QUOTA_WORDS = sizeof(quota_words) / sizeof(quota_words[0]) };

// True when the word stands in this section for the first time.
static bool is_first(struct reading *reading, unsigned place, const char *word)
{
    unsigned bit = 1U << place;
    if ((reading->seen & bit) != 0 && !reading->is_continuation)
        REFUSE(reading, "%s stands in this section twice", word);
    reading->seen |= bit;
    return reading->status == SFL_OK;
}

static bool read_count(const char *text, uint64_t *count_out)
{
    uint64_t count = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || count > (UINT64_MAX / 10) - 1)
            return false;
        count = count * 10 + (uint64_t)(*text - '0');
    }
    *count_out = count;
    return true;
}

static void read_quota(struct reading *reading, const struct quota_word *word, const char *text)
{
    struct sfl_access *access = reading->access;
    struct sfl_section *section = &access->sections[access->section_count - 1];
    uint64_t value = 0;
    const char *problem = NULL;
    if (reading->is_continuation)
        problem = "has one value, on one line";
    else if (word->is_size && sfl_size_parse(text, &value, &problem) == SFL_OK)
        problem = NULL;
    else if (!word->is_size && !read_count(text, &value))
        problem = "must be a whole number";
    if (problem != NULL) {
        REFUSE(reading, "%s %s, and is \"%.60s\"", word->word, problem, text);
        return;
    }
    memcpy((char *)&section->quota + word->offset, &value, sizeof(value));
    access->has_quotas = true;
}

static void read_group_entry(struct reading *reading, struct sfl_span name, const char *text)
{
    struct sfl_access *access = reading->access;
    for (unsigned i = 0; i < RIGHT_WORDS; i++) {
        if (!sfl_span_equal(name, sfl_span_of_text(right_words[i].word)))
            continue;
        if (is_first(reading, i, right_words[i].word))
            add_rights(reading, &access->sections[access->section_count - 1].rights,
                       right_words[i].rights, sfl_span_of_text(text));
        return;
    }
    for (unsigned i = 0; i < QUOTA_WORDS; i++) {
        if (!sfl_span_equal(name, sfl_span_of_text(quota_words[i].word)))
            continue;
        if (is_first(reading, RIGHT_WORDS + i, quota_words[i].word))
            read_quota(reading, &quota_words[i], text);
        return;
    }
    REFUSE(reading,
           "\"%.*s\" is no right (do, lead, forget, end, list, all) and no quota (flights-limit, "
           "callers-limit, held-limit, retained-limit, joins-per-second)",
           (int)name.size, (const char *)name.data);
}

static void read_server_entry(struct reading *reading, struct sfl_span name, const char *text)
{
    struct sfl_access *access = reading->access;
    if (sfl_span_equal(name, sfl_span_of_text("admin"))) {
        if (is_first(reading, 0, "admin"))
            add_rights(reading, &access->admins, SFL_RIGHT_ADMIN, sfl_span_of_text(text));
    } else if (sfl_span_equal(name, sfl_span_of_text("deny"))) {
        if (is_first(reading, 1, "deny"))
            add_identities(reading, &access->denied, sfl_span_of_text(text));
    } else {
        REFUSE(reading, "\"%.*s\" is not of [server], which has admin and deny", (int)name.size,
               (const char *)name.data);
    }
}

// --- sections ---

static bool is_group_pattern(struct sfl_span pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        struct sfl_span one = {pattern.data + i, 1};
        if (pattern.data[i] != '*' && !sfl_is_plain_name(one, 1))
            return false;
    }
    return pattern.size > 0 && pattern.size <= SFL_GROUP_PATTERN_MAX;
}

static void begin_group(struct reading *reading, struct sfl_span pattern)
{
    struct sfl_access *access = reading->access;
    if (!is_group_pattern(pattern)) {
        REFUSE(reading, "[group PATTERN]: the pattern may have A-Z a-z 0-9 . _ - and *");
        return;
    }
    for (uint32_t i = 0; i < access->section_count; i++) {
        if (sfl_span_equal(sfl_span_of_text(access->sections[i].pattern), pattern)) {
            REFUSE(reading, "[group %s] is here twice", access->sections[i].pattern);
            return;
        }
    }
    struct sfl_section *sections = grow(access->sections, access->section_count, sizeof(*sections));
    char *copy = copy_word(pattern);
    if (sections != NULL)
        access->sections = sections;
    if (sections == NULL || copy == NULL) {
        free(copy);
        lack_memory(reading);
        return;
    }
    access->sections[access->section_count++] = (struct sfl_section){
        .pattern = copy,
        .quota = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
    };
}

static void begin_once(struct reading *reading, enum room room, bool *has)
{
    if (*has)
        REFUSE(reading, "this section is here twice");
    *has = true;
    reading->room = room;
}

// `line` begins with a bracket.
static void begin_section(struct reading *reading, struct sfl_span line)
{
    const uint8_t *end = memchr(line.data, ']', line.size);
    reading->seen = 0;
    reading->has_entry = false;
    if (end == NULL) {
        REFUSE(reading, "a section ends with ]");
        return;
    }
    struct sfl_span rest = {end + 1, (size_t)(line.data + line.size - end) - 1};
    struct sfl_span words = {line.data + 1, (size_t)(end - line.data) - 1};
    struct sfl_span first = sfl_take_word(&words);
    struct sfl_span second = sfl_take_word(&words);
    bool has_more = sfl_take_word(&words).size > 0 || sfl_take_word(&rest).size > 0;
    if (sfl_span_equal(first, sfl_span_of_text("group")) && !has_more) {
        reading->room = ROOM_GROUP;
        if (!reading->is_who_pass)
            begin_group(reading, second);
    } else if (sfl_span_equal(first, sfl_span_of_text("who")) && second.size == 0 && !has_more) {
        begin_once(reading, ROOM_WHO, &reading->has_who);
    } else if (sfl_span_equal(first, sfl_span_of_text("server")) && second.size == 0 && !has_more) {
        begin_once(reading, ROOM_SERVER, &reading->has_server);
    } else {
        REFUSE(reading, "is no section of an access file: [who], [group PATTERN], [server]");
    }
}

// --- lines ---

// Hands one line to inih, without its comment.
static char *read_line(char *buffer, int size_max, void *context)
{
    struct reading *reading = context;
    struct sfl_span line;
    if (reading->status != SFL_OK || !sfl_take_line(&reading->rest, &line))
        return NULL;
    reading->line++;
    struct sfl_span rest = line;
    struct sfl_span first = sfl_take_word(&rest);
    bool is_section = first.size > 0 && first.data[0] == '[';
    reading->is_continuation = first.size > 0 && first.data != line.data;
    if (memchr(line.data, '\0', line.size) != NULL)
        REFUSE(reading, "has a NUL byte");
    else if (memchr(line.data, ';', line.size) != NULL)
        REFUSE(reading, "has a ;, which stands nowhere here; comments begin with #");
    else if (is_section && reading->is_continuation)
        REFUSE(reading, "a section begins at the beginning of a line");
    else if (reading->is_continuation && !reading->has_entry)
        REFUSE(reading, "begins with a blank, so it goes on with the line before, which is none");
    else if (is_section)
        begin_section(reading, line);
    else if ((int)line.size > size_max - 3)
        REFUSE(reading, "is longer than %d bytes; go on with an indented line", size_max - 3);
    if (reading->status != SFL_OK)
        return NULL;
    // What inih makes of a section does not count, as long as there is one.
    int size = is_section ? snprintf(buffer, (size_t)size_max, "[section]")
                          : snprintf(buffer, (size_t)size_max - 2, "%.*s", (int)line.size,
                                     (const char *)line.data);
    buffer[size] = '\n';
    buffer[size + 1] = '\0';
    return buffer;
}

static int on_entry(void *context, const char *section, const char *name, const char *text)
{
    struct reading *reading = context;
    struct sfl_span word = sfl_span_of_text(name);
    (void)section;
    if (reading->status != SFL_OK)
        return 0;
    reading->has_entry = true;
    switch (reading->room) {
    case ROOM_NONE:
        REFUSE(reading, "\"%.40s\" stands before the first section", name);
        break;
    case ROOM_WHO:
        read_who(reading, word, sfl_span_of_text(text));
        break;
    case ROOM_GROUP:
        if (!reading->is_who_pass)
            read_group_entry(reading, word, text);
        break;
    case ROOM_SERVER:
        if (!reading->is_who_pass)
            read_server_entry(reading, word, text);
        break;
    }
    return reading->status == SFL_OK;
}

static enum sfl_status read_pass(struct reading *reading)
{
    int bad_line = ini_parse_stream(read_line, reading, on_entry, reading);
    if (bad_line != 0 && reading->status == SFL_OK) {
        reading->line = bad_line > 0 ? (unsigned)bad_line : reading->line;
        REFUSE(reading, "is not \"name = words\"");
    }
    return reading->status;
}

enum sfl_status sfl_access_file_read(const char *path, struct sfl_span text,
                                     struct sfl_access *access,
                                     char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    if (text.size == 0) {
        sfl_security_problem(problem_out, path, 1,
                             "is empty; write a comment into it if nobody may do anything");
        return SFL_INVALID_ARGUMENT;
    }
    struct reading who = {
        .path = path, .rest = text, .access = access, .problem = problem_out, .is_who_pass = true};
    enum sfl_status status = read_pass(&who);
    if (status != SFL_OK)
        return status;
    struct reading rights = {.path = path, .rest = text, .access = access, .problem = problem_out};
    return read_pass(&rights);
}
