// SPDX-License-Identifier: Apache-2.0
#include "rights.h"

#include "start_problem.h"

#include <stdio.h>

// Between two looks at the files: what changes is in force within half a second.
enum { LOOK_MS = 200 };

// What a group may use now; under a lock of the quotas.
static struct sfl_quota_limits limits_of(void *context, struct sfl_span group)
{
    struct sfl_security *security = context;
    struct sfl_access *access = sfl_security_snapshot(security);
    struct sfl_access_quota quota = sfl_access_quota(access, group);
    sfl_access_unref(access);
    return (struct sfl_quota_limits){
        .flights_max = quota.flights,
        .callers_max = quota.callers,
        .held_bytes_max = quota.held_bytes,
        .retained_bytes_max = quota.retained_bytes,
        .joins_per_second = quota.joins_per_second,
    };
}

static bool create_quotas(struct sfl_rights *rights)
{
    const struct sfl_quotas_options options = {.limits_of = limits_of, .context = rights->security};
    return sfl_quotas_create(&options, &rights->quotas) == SFL_OK;
}

bool sfl_rights_open(struct sfl_rights *rights, const struct sfl_settings *settings,
                     int *exit_code_out)
{
    const struct sfl_security_options options = {
        .token_file = settings->token_file,
        .access_file = settings->access_file,
    };
    char problem[SFL_SECURITY_PROBLEM_MAX];
    if (options.token_file == NULL && options.access_file == NULL)
        return true;
    const char *const watched[SFL_WATCHED_FILES] = {options.token_file, options.access_file};
    sfl_watched_files_init(&rights->files, watched);
    if (sfl_security_create(&options, &rights->security, problem) == SFL_OK &&
        (options.access_file == NULL || create_quotas(rights)))
        return true;
    if (rights->security != NULL)
        snprintf(problem, sizeof(problem), "no memory for quotas");
    sfl_start_file_problem(settings, problem);
    *exit_code_out = SFL_EXIT_CONFIG;
    return false;
}

bool sfl_rights_reload(struct sfl_rights *rights)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    if (rights->security == NULL)
        return false;
    sfl_watched_files_settle(&rights->files);
    if (sfl_security_reload(rights->security, problem) != SFL_OK)
        return true;
    if (rights->quotas != NULL)
        sfl_quotas_reload(rights->quotas);
    sfl_transport_rights_changed(rights->transport);
    return true;
}

// A file that is being written may be a good one at any moment, and say something else. So it is
// read when a look has found no further change.
static void on_look(uv_timer_t *timer)
{
    struct sfl_rights *rights = timer->data;
    if (sfl_watched_files_look(&rights->files) == SFL_WATCHED_SETTLED)
        (void)sfl_rights_reload(rights);
}

bool sfl_rights_watch(struct sfl_rights *rights, uv_loop_t *loop, struct sfl_transport *transport)
{
    rights->transport = transport;
    if (rights->security == NULL)
        return true;
    rights->look.data = rights;
    return uv_timer_init(loop, &rights->look) == 0 &&
           uv_timer_start(&rights->look, on_look, LOOK_MS, LOOK_MS) == 0;
}

void sfl_rights_close(struct sfl_rights *rights)
{
    sfl_quotas_destroy(rights->quotas);
    sfl_security_destroy(rights->security);
    *rights = (struct sfl_rights){.security = NULL};
}
