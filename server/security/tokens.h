// SPDX-License-Identifier: Apache-2.0
// The token file: who is named by which bearer token. It holds the tokens' SHA-256 alone.
//
//     # A comment. Several lines may have one name, so that tokens can be changed in peace.
//     cron 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
#ifndef SFL_SECURITY_TOKENS_H
#define SFL_SECURITY_TOKENS_H

#include "base/bytes.h"
#include "base/status.h"
#include "security/problem.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SFL_TOKEN_HASH_BYTES = 32,
    SFL_TOKEN_NAME_MAX = 64, // bytes
    SFL_TOKENS_MAX = 10000,
};

struct sfl_token_hash {
    uint8_t bytes[SFL_TOKEN_HASH_BYTES];
};

void sfl_token_hash_of(struct sfl_span token, struct sfl_token_hash *hash_out);

struct sfl_tokens;

// Reads the text of a token file; `path` is for the problem alone. SFL_INVALID_ARGUMENT: then
// `problem_out` says what is wrong and on which line. SFL_NO_MEMORY.
enum sfl_status sfl_tokens_read(const char *path, struct sfl_span text,
                                struct sfl_tokens **tokens_out,
                                char problem_out[SFL_SECURITY_PROBLEM_MAX]) SFL_MUST_USE;
void sfl_tokens_destroy(struct sfl_tokens *tokens); // NULL is fine

size_t sfl_tokens_count(const struct sfl_tokens *tokens);

// The name of the token with this hash, as long as `tokens` stays; NULL when it is not known. Every
// line is compared to its end, so the time says nothing of what is in the file.
const char *sfl_tokens_find(const struct sfl_tokens *tokens, const struct sfl_token_hash *hash);

#endif
