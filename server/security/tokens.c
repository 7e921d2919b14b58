// SPDX-License-Identifier: Apache-2.0
#include "security/tokens.h"

#include "security/lines_private.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct token {
    struct sfl_token_hash hash;
    char name[SFL_TOKEN_NAME_MAX + 1];
    unsigned line;
};

struct sfl_tokens {
    size_t count;
    size_t room;
    struct token *items;
};

// What somebody hashes who pipes an empty file.
static const struct sfl_token_hash hash_of_nothing = {
    {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
     0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
     0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}};

// What a token has that cannot be hashed for want of memory: nobody's.
static const struct sfl_token_hash hash_of_none = {{0}};

// To look the algorithm up takes longer than the hash of a token.
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void find_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void sfl_token_hash_of(struct sfl_span token, struct sfl_token_hash *hash_out)
{
    pthread_once(&sha256_once, find_sha256);
    int is_done = EVP_Digest(token.data, token.size, hash_out->bytes, NULL, sha256, NULL);
    if (is_done != 1)
        *hash_out = hash_of_none;
}

void sfl_tokens_destroy(struct sfl_tokens *tokens)
{
    if (tokens == NULL)
        return;
    free(tokens->items);
    free(tokens);
}

size_t sfl_tokens_count(const struct sfl_tokens *tokens)
{
    return tokens->count;
}

const char *sfl_tokens_find(const struct sfl_tokens *tokens, const struct sfl_token_hash *hash)
{
    size_t found = 0; // its place, from 1
    for (size_t i = 0; i < tokens->count; i++) {
        int differs = CRYPTO_memcmp(tokens->items[i].hash.bytes, hash->bytes, SFL_TOKEN_HASH_BYTES);
        size_t mask = (size_t)0 - (size_t)(differs == 0);
        found |= mask & (i + 1);
    }
    return found == 0 ? NULL : tokens->items[found - 1].name;
}

// --- reading ---

struct reading {
    const char *path;
    struct sfl_tokens *tokens;
    char *problem;
    unsigned line;
};

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hash(struct sfl_span text, struct sfl_token_hash *hash_out)
{
    if (text.size != 2 * SFL_TOKEN_HASH_BYTES)
        return false;
    for (size_t i = 0; i < SFL_TOKEN_HASH_BYTES; i++) {
        int high = hex_digit(text.data[2 * i]);
        int low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash_out->bytes[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static enum sfl_status refuse(const struct reading *reading, const char *what)
{
    sfl_security_problem(reading->problem, reading->path, reading->line, "%s", what);
    return SFL_INVALID_ARGUMENT;
}

static bool make_room(struct sfl_tokens *tokens)
{
    if (tokens->count < tokens->room)
        return true;
    size_t room = tokens->room == 0 ? 16 : 2 * tokens->room;
    struct token *items = realloc(tokens->items, room * sizeof(*items));
    if (items == NULL)
        return false;
    tokens->items = items;
    tokens->room = room;
    return true;
}

static enum sfl_status read_line(struct reading *reading, struct sfl_span line)
{
    struct sfl_tokens *tokens = reading->tokens;
    struct sfl_span name = sfl_take_word(&line);
    struct sfl_span hash = sfl_take_word(&line);
    if (name.size == 0)
        return SFL_OK;
    if (!sfl_is_plain_name(name, SFL_TOKEN_NAME_MAX))
        return refuse(reading, "the name may have 1 to 64 of A-Z a-z 0-9 . _ -");
    if (sfl_take_word(&line).size > 0)
        return refuse(reading, "is not \"NAME SHA256HEX\": there is a third word");
    if (tokens->count == SFL_TOKENS_MAX)
        return refuse(reading, "more than 10000 tokens");
    if (!make_room(tokens))
        return SFL_NO_MEMORY;
    struct token *token = &tokens->items[tokens->count];
    if (!read_hash(hash, &token->hash))
        return refuse(reading, "is not \"NAME SHA256HEX\": the second word must be 64 hex digits");
    if (memcmp(&token->hash, &hash_of_nothing, sizeof(token->hash)) == 0)
        return refuse(reading, "this is the hash of an empty token");
    if (memcmp(&token->hash, &hash_of_none, sizeof(token->hash)) == 0)
        return refuse(reading, "the hash is all zeroes, which no token has");
    memcpy(token->name, name.data, name.size);
    token->name[name.size] = '\0';
    token->line = reading->line;
    tokens->count++;
    return SFL_OK;
}

static int compare(const void *a, const void *b)
{
    const struct token *left = a;
    const struct token *right = b;
    int order = memcmp(&left->hash, &right->hash, sizeof(left->hash));
    if (order != 0)
        return order;
    return left->line < right->line ? -1 : 1;
}

// Their order means nothing to those who look for one.
static enum sfl_status check_twice(const struct reading *reading)
{
    struct token *items = reading->tokens->items;
    size_t count = reading->tokens->count;
    if (count > 1)
        qsort(items, count, sizeof(items[0]), compare);
    for (size_t i = 1; i < count; i++) {
        if (memcmp(&items[i - 1].hash, &items[i].hash, sizeof(items[i].hash)) != 0)
            continue;
        sfl_security_problem(reading->problem, reading->path, items[i].line,
                             "the same token stands on line %u", items[i - 1].line);
        return SFL_INVALID_ARGUMENT;
    }
    return SFL_OK;
}

static enum sfl_status read_lines(struct reading *reading, struct sfl_span text)
{
    struct sfl_span line;
    if (text.size == 0)
        return refuse(reading, "is empty; write a comment into it if no token is to be taken");
    while (sfl_take_line(&text, &line)) {
        reading->line++;
        enum sfl_status status = read_line(reading, line);
        if (status != SFL_OK)
            return status;
    }
    return check_twice(reading);
}

enum sfl_status sfl_tokens_read(const char *path, struct sfl_span text,
                                struct sfl_tokens **tokens_out,
                                char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    struct sfl_tokens *tokens = calloc(1, sizeof(*tokens));
    struct reading reading = {.path = path, .tokens = tokens, .problem = problem_out};
    enum sfl_status status = tokens == NULL ? SFL_NO_MEMORY : read_lines(&reading, text);
    if (status == SFL_OK) {
        *tokens_out = tokens;
        return SFL_OK;
    }
    if (status == SFL_NO_MEMORY)
        sfl_security_problem(problem_out, path, 0, "no memory for it");
    sfl_tokens_destroy(tokens);
    return status;
}
