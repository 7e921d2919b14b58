// SPDX-License-Identifier: Apache-2.0
// The token file (a first byte of 't') and the access file (everything else). A file is taken whole
// or refused with one line that says where; and what was taken can be asked.
#include "security/access.h"
#include "security/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "security_fuzz:%d: %s\n", __LINE__, #condition);                       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_problem(const char problem[SFL_SECURITY_PROBLEM_MAX], const char *path)
{
    size_t size = strnlen(problem, SFL_SECURITY_PROBLEM_MAX);
    CHECK(size < SFL_SECURITY_PROBLEM_MAX);
    CHECK(strncmp(problem, path, strlen(path)) == 0);
    CHECK(problem[strlen(path)] == ':');
}

static void read_tokens(struct sfl_span text)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    struct sfl_tokens *tokens = NULL;
    if (sfl_tokens_read("tokens", text, &tokens, problem) != SFL_OK) {
        CHECK(tokens == NULL);
        check_problem(problem, "tokens");
        return;
    }
    struct sfl_token_hash hash;
    sfl_token_hash_of(text, &hash);
    CHECK(sfl_tokens_find(tokens, &hash) == NULL); // nobody writes a file that holds its own hash
    sfl_tokens_destroy(tokens);
}

static void read_access(struct sfl_span text)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    struct sfl_access *access = NULL;
    const struct sfl_access_files files = {.access_path = "access", .access_text = text};
    if (sfl_access_create(&files, 1, &access, problem) != SFL_OK) {
        CHECK(access == NULL);
        check_problem(problem, "access");
        return;
    }
    struct sfl_access_quota quota = sfl_access_quota(access, sfl_span_of_text("reports.daily"));
    CHECK(sfl_access_has_quotas(access) || quota.flights == UINT64_MAX);
    sfl_access_unref(access);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing;
    if (size == 0)
        return 0;
    // A file that is not there has no data.
    struct sfl_span text = {size == 1 ? &nothing : data + 1, size - 1};
    if (data[0] == 't')
        read_tokens(text);
    else
        read_access(text);
    return 0;
}
