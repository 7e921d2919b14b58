// SPDX-License-Identifier: Apache-2.0
#include "security/identity.h"

#include "security/access_private.h"
#include "security/pattern.h"
#include "security/tokens.h"

#include <stdlib.h>
#include <string.h>

// Rights in the groups of one section.
struct held {
    uint32_t section; // its place
    uint32_t rights;
};

struct sfl_identity {
    struct sfl_security *security;
    // What was shown, and does not change.
    bool is_unix;
    bool may_show_token;
    bool has_token;
    bool is_token_readable;
    bool are_names_whole;
    struct sfl_token_hash token;
    size_t name_count;
    struct sfl_span *names; // of the certificate, behind this struct

    // What the snapshot makes of it.
    struct sfl_access *access; // a reference
    enum sfl_identity_state state;
    const char *token_name; // of the snapshot; NULL: none
    bool is_admin;
    struct held *held;
    uint32_t held_count;
};

// --- what is shown ---

// Hosts are compared in lower case.
static void copy_name(struct sfl_span name, uint8_t *to)
{
    bool is_dns = sfl_span_starts_with(name, sfl_span_of_text("dns:"));
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        to[i] = is_dns && c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
    }
}

struct sfl_identity *sfl_identity_create(struct sfl_security *security,
                                         const struct sfl_credentials *credentials)
{
    size_t bytes = 0;
    for (size_t i = 0; i < credentials->name_count; i++)
        bytes += credentials->names[i].size;
    size_t spans = credentials->name_count * sizeof(struct sfl_span);
    struct sfl_identity *identity = malloc(sizeof(*identity) + spans + bytes);
    if (identity == NULL)
        return NULL;
    *identity = (struct sfl_identity){
        .security = security,
        .is_unix = credentials->is_unix,
        .may_show_token = credentials->may_show_token,
        .has_token = credentials->has_token,
        .is_token_readable = credentials->is_token_readable,
        .are_names_whole = credentials->are_names_whole,
        .name_count = credentials->name_count,
        .names = (struct sfl_span *)(identity + 1),
    };
    uint8_t *at = (uint8_t *)(identity->names + credentials->name_count);
    for (size_t i = 0; i < credentials->name_count; i++) {
        struct sfl_span name = credentials->names[i];
        copy_name(name, at);
        identity->names[i] = sfl_span_of(at, name.size);
        at += name.size;
    }
    // The token itself is not kept.
    if (credentials->has_token && credentials->is_token_readable)
        sfl_token_hash_of(credentials->token, &identity->token);
    sfl_identity_renew(identity);
    return identity;
}

static void forget_snapshot(struct sfl_identity *identity)
{
    free(identity->held);
    identity->held = NULL;
    identity->held_count = 0;
    identity->is_admin = false;
    identity->token_name = NULL;
    sfl_access_unref(identity->access);
    identity->access = NULL;
}

void sfl_identity_destroy(struct sfl_identity *identity)
{
    if (identity == NULL)
        return;
    forget_snapshot(identity);
    free(identity);
}

// --- what a snapshot makes of it ---

static bool has_certificate(const struct sfl_identity *identity)
{
    return identity->name_count > 0;
}

bool sfl_identity_is_known(const struct sfl_identity *identity)
{
    return has_certificate(identity) || identity->token_name != NULL || identity->is_unix;
}

// A certificate's names begin with their kind, as patterns do.
static bool matches_names(const struct sfl_identity *identity, struct sfl_span pattern)
{
    for (size_t i = 0; i < identity->name_count; i++) {
        if (sfl_pattern_matches(pattern, identity->names[i]))
            return true;
    }
    return false;
}

static bool matches(const struct sfl_identity *identity, const struct sfl_identity_pattern *pattern)
{
    enum { TOKEN_PREFIX = 6 }; // "token:"
    switch (pattern->kind) {
    case SFL_IDENTITY_DNS:
    case SFL_IDENTITY_URI:
        return matches_names(identity, sfl_span_of(pattern->text, pattern->size));
    case SFL_IDENTITY_TOKEN:
        return identity->token_name != NULL &&
               sfl_pattern_matches(
                   sfl_span_of(pattern->text + TOKEN_PREFIX, pattern->size - TOKEN_PREFIX),
                   sfl_span_of_text(identity->token_name));
    case SFL_IDENTITY_UNIX:
        return identity->is_unix;
    case SFL_IDENTITY_ANONYMOUS:
        return !sfl_identity_is_known(identity);
    }
    return false;
}

static bool matches_any(const struct sfl_identity *identity,
                        const struct sfl_identity_patterns *patterns)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        if (matches(identity, &patterns->items[i]))
            return true;
    }
    return false;
}

static unsigned rights_of(const struct sfl_rights_list *list, const bool *is_who)
{
    unsigned rights = 0;
    for (uint32_t i = 0; i < list->count; i++)
        rights |= is_who[list->items[i].who] ? list->items[i].rights : 0;
    return rights;
}

// False when there is no memory.
static bool find_rights(struct sfl_identity *identity)
{
    const struct sfl_access *access = identity->access;
    bool *is_who = malloc(access->who_count + 1);
    identity->held = malloc((access->section_count + 1) * sizeof(struct held));
    if (is_who == NULL || identity->held == NULL) {
        free(is_who);
        return false;
    }
    for (uint32_t i = 0; i < access->who_count; i++)
        is_who[i] = matches_any(identity, &access->who[i].identities);
    for (uint32_t i = 0; i < access->section_count; i++) {
        unsigned rights = rights_of(&access->sections[i].rights, is_who);
        if (rights != 0)
            identity->held[identity->held_count++] = (struct held){i, rights};
    }
    identity->is_admin = rights_of(&access->admins, is_who) != 0;
    free(is_who);
    return true;
}

// True when nothing allows anything to a caller without a name, so that it should have shown one.
static bool lacks_name(const struct sfl_identity *identity)
{
    if (identity->access->has_file)
        return !sfl_identity_is_known(identity) && identity->held_count == 0 && !identity->is_admin;
    return identity->access->tokens != NULL && !has_certificate(identity) &&
           identity->token_name == NULL;
}

static enum sfl_identity_state find_state(struct sfl_identity *identity)
{
    const struct sfl_access *access = identity->access;
    // Without a token file, what others put there is none of ours.
    if (access->tokens != NULL && identity->has_token) {
        if (!identity->may_show_token)
            return SFL_IDENTITY_OPEN_TOKEN;
        if (identity->is_token_readable)
            identity->token_name = sfl_tokens_find(access->tokens, &identity->token);
        if (identity->token_name == NULL)
            return SFL_IDENTITY_BAD_TOKEN;
    }
    // One that is cut off may be on the deny list.
    if (!identity->are_names_whole)
        return SFL_IDENTITY_BAD_NAMES;
    if (matches_any(identity, &access->denied))
        return SFL_IDENTITY_DENIED;
    if (access->has_file && !find_rights(identity))
        return SFL_IDENTITY_NO_MEMORY;
    return lacks_name(identity) ? SFL_IDENTITY_NOBODY : SFL_IDENTITY_GOOD;
}

void sfl_identity_renew(struct sfl_identity *identity)
{
    forget_snapshot(identity);
    identity->access = sfl_security_snapshot(identity->security);
    identity->state = find_state(identity);
}

uint64_t sfl_identity_generation(const struct sfl_identity *identity)
{
    return identity->access->generation;
}

enum sfl_identity_state sfl_identity_state(const struct sfl_identity *identity)
{
    return identity->state;
}

unsigned sfl_identity_rights(const struct sfl_identity *identity, struct sfl_span group)
{
    const struct sfl_access *access = identity->access;
    if (identity->state != SFL_IDENTITY_GOOD)
        return 0;
    if (!access->has_file)
        return SFL_RIGHTS_OF_GROUP;
    unsigned rights = 0;
    for (uint32_t i = 0; i < identity->held_count && rights != SFL_RIGHTS_OF_GROUP; i++) {
        const char *pattern = access->sections[identity->held[i].section].pattern;
        if (sfl_pattern_matches(sfl_span_of_text(pattern), group))
            rights |= identity->held[i].rights;
    }
    return rights;
}

bool sfl_identity_is_admin(const struct sfl_identity *identity)
{
    return identity->state == SFL_IDENTITY_GOOD &&
           (!identity->access->has_file || identity->is_admin);
}

// --- for the log ---

static size_t put_bytes(char *text, size_t used, struct sfl_span bytes)
{
    if (bytes.size > 0)
        memcpy(text + used, bytes.data, bytes.size);
    return used + bytes.size;
}

// Adds a word, unless there is no room for it.
static size_t put_word(char *text, size_t used, struct sfl_span prefix, struct sfl_span word)
{
    size_t blank = used > 0;
    if (used + blank + prefix.size + word.size >= SFL_IDENTITY_TEXT_MAX)
        return used;
    if (blank > 0)
        text[used++] = ' ';
    used = put_bytes(text, put_bytes(text, used, prefix), word);
    text[used] = '\0';
    return used;
}

void sfl_identity_text(const struct sfl_identity *identity,
                       char text_out[static SFL_IDENTITY_TEXT_MAX])
{
    const struct sfl_span nothing = {NULL, 0};
    size_t used = 0;
    text_out[0] = '\0';
    if (identity->token_name != NULL)
        used = put_word(text_out, used, sfl_span_of_text("token:"),
                        sfl_span_of_text(identity->token_name));
    for (size_t i = 0; i < identity->name_count; i++)
        used = put_word(text_out, used, nothing, identity->names[i]);
    if (identity->is_unix)
        used = put_word(text_out, used, sfl_span_of_text("unix"), nothing);
    if (used == 0)
        put_word(text_out, 0, sfl_span_of_text("anonymous"), nothing);
}
