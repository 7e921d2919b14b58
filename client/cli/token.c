// SPDX-License-Identifier: Apache-2.0
// token: makes a bearer token, and the line of the daemon's token file that lets it in.
#include "base/entropy.h"
#include "cli/exit_code.h"
#include "cli/subcommands.h"

#include <openssl/sha.h>

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    SECRET_BYTES = 32,
    TOKEN_CHARS = 43, // base64url of as many bytes, without padding
    NAME_MAX_BYTES = 64,
};

// What the daemon takes as a name (server/security/tokens.h).
static bool is_name(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
            return false;
    }
    return size > 0 && size <= NAME_MAX_BYTES;
}

static void write_base64url(const uint8_t secret[static SECRET_BYTES],
                            char token_out[static TOKEN_CHARS + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned i = 0; i < TOKEN_CHARS; i++) {
        unsigned bit = 6 * i;
        unsigned next = bit / 8 + 1 < SECRET_BYTES ? secret[bit / 8 + 1] : 0;
        unsigned pair = (unsigned)secret[bit / 8] << 8 | next;
        token_out[i] = digits[pair >> (10 - bit % 8) & 63];
    }
    token_out[TOKEN_CHARS] = '\0';
}

static void write_line(const char *name, const char *token)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *)token, strlen(token), hash);
    fprintf(stderr, "%s ", name);
    for (size_t i = 0; i < sizeof(hash); i++)
        fprintf(stderr, "%02x", hash[i]);
    fprintf(stderr, "\n");
}

int sfl_cli_token(const struct sfl_cli_options *options)
{
    uint8_t secret[SECRET_BYTES];
    char token[TOKEN_CHARS + 1];
    if (!is_name(options->key)) {
        fprintf(stderr, "singleflight: a name has 1 to 64 of A-Z a-z 0-9 . _ -\n");
        return SFL_CLI_EXIT_USAGE;
    }
    sfl_entropy_fill(secret, sizeof(secret));
    write_base64url(secret, token);
    printf("%s\n", token);
    if (fflush(stdout) != 0) // then nobody has it, and it is to let nobody in
        return SFL_CLI_EXIT_OUTPUT;
    write_line(options->key, token);
    return SFL_CLI_EXIT_OK;
}
