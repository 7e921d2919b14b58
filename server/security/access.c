// SPDX-License-Identifier: Apache-2.0
#include "security/access.h"

#include "base/references.h"
#include "security/access_private.h"
#include "security/pattern.h"

#include <stdlib.h>

static const struct sfl_access_quota no_quota = {
    .flights = UINT64_MAX,
    .callers = UINT64_MAX,
    .held_bytes = UINT64_MAX,
    .retained_bytes = UINT64_MAX,
    .joins_per_second = UINT64_MAX,
};

const char *sfl_right_word(enum sfl_right right)
{
    switch (right) {
    case SFL_RIGHT_DO:
        return "do";
    case SFL_RIGHT_LEAD:
        return "lead";
    case SFL_RIGHT_FORGET:
        return "forget";
    case SFL_RIGHT_END:
        return "end";
    case SFL_RIGHT_LIST:
        return "list";
    case SFL_RIGHT_ADMIN:
        return "admin";
    }
    return "";
}

static void free_patterns(struct sfl_identity_patterns *patterns)
{
    for (uint32_t i = 0; i < patterns->count; i++)
        free(patterns->items[i].text);
    free(patterns->items);
}

static void destroy(struct sfl_access *access)
{
    for (uint32_t i = 0; i < access->who_count; i++) {
        free(access->who[i].name);
        free_patterns(&access->who[i].identities);
    }
    for (uint32_t i = 0; i < access->section_count; i++) {
        free(access->sections[i].pattern);
        free(access->sections[i].rights.items);
    }
    free(access->who);
    free(access->sections);
    free(access->admins.items);
    free_patterns(&access->denied);
    sfl_tokens_destroy(access->tokens);
    free(access);
}

static enum sfl_status read_files(const struct sfl_access_files *files, struct sfl_access *access,
                                  char *problem)
{
    enum sfl_status status = SFL_OK;
    if (files->token_text.data != NULL)
        status = sfl_tokens_read(files->token_path, files->token_text, &access->tokens, problem);
    if (status == SFL_OK && access->has_file)
        status = sfl_access_file_read(files->access_path, files->access_text, access, problem);
    return status;
}

enum sfl_status sfl_access_create(const struct sfl_access_files *files, uint64_t generation,
                                  struct sfl_access **access_out,
                                  char problem_out[SFL_SECURITY_PROBLEM_MAX])
{
    struct sfl_access *access = calloc(1, sizeof(*access));
    if (access == NULL) {
        sfl_security_problem(problem_out, "rights", 0, "no memory");
        return SFL_NO_MEMORY;
    }
    atomic_init(&access->references, 1);
    access->generation = generation;
    access->has_file = files->access_text.data != NULL;
    enum sfl_status status = read_files(files, access, problem_out);
    if (status != SFL_OK) {
        destroy(access);
        return status;
    }
    *access_out = access;
    return SFL_OK;
}

struct sfl_access *sfl_access_ref(struct sfl_access *access)
{
    atomic_fetch_add_explicit(&access->references, 1, memory_order_relaxed);
    return access;
}

void sfl_access_unref(struct sfl_access *access)
{
    if (access != NULL && sfl_references_drop(&access->references))
        destroy(access);
}

uint64_t sfl_access_generation(const struct sfl_access *access)
{
    return access->generation;
}

static void take_later(uint64_t *quota, uint64_t later)
{
    if (later != UINT64_MAX)
        *quota = later;
}

struct sfl_access_quota sfl_access_quota(const struct sfl_access *access, struct sfl_span group)
{
    struct sfl_access_quota quota = no_quota;
    for (uint32_t i = 0; access->has_quotas && i < access->section_count; i++) {
        const struct sfl_section *section = &access->sections[i];
        if (!sfl_pattern_matches(sfl_span_of_text(section->pattern), group))
            continue;
        take_later(&quota.flights, section->quota.flights);
        take_later(&quota.callers, section->quota.callers);
        take_later(&quota.held_bytes, section->quota.held_bytes);
        take_later(&quota.retained_bytes, section->quota.retained_bytes);
        take_later(&quota.joins_per_second, section->quota.joins_per_second);
    }
    return quota;
}

bool sfl_access_has_quotas(const struct sfl_access *access)
{
    return access->has_quotas;
}
