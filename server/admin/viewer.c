// SPDX-License-Identifier: Apache-2.0
#include "admin/viewer.h"

#include "admin/sources.h"
#include "base/log.h"
#include "security/identity.h"
#include "security/security.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

// "Bearer TOKEN". False when it is something else.
static bool read_bearer(const char *authorization, struct sfl_span *token_out)
{
    static const char scheme[] = "Bearer ";
    if (strncasecmp(authorization, scheme, strlen(scheme)) != 0)
        return false;
    const char *token = authorization + strlen(scheme);
    token += strspn(token, " ");
    *token_out = sfl_span_of_text(token);
    return token_out->size > 0 && strpbrk(token, " \t") == NULL;
}

static enum sfl_viewer_problem refuse(struct sfl_viewer *viewer, enum sfl_auth_denied denied,
                                      enum sfl_viewer_problem problem)
{
    sfl_security_count_denied(viewer->security, denied);
    sfl_log(SFL_LOG_WARN, "page_refused", SFL_STR("reason", sfl_auth_denied_word(denied)));
    sfl_viewer_deinit(viewer);
    return problem;
}

// One without a token is nobody, and sees what nobody may.
static enum sfl_viewer_problem judge(struct sfl_viewer *viewer)
{
    switch (sfl_identity_state(viewer->identity)) {
    case SFL_IDENTITY_GOOD:
    case SFL_IDENTITY_NOBODY:
        return SFL_VIEWER_FINE;
    case SFL_IDENTITY_OPEN_TOKEN:
        return refuse(viewer, SFL_AUTH_OPEN_TOKEN, SFL_VIEWER_OPEN_TOKEN);
    case SFL_IDENTITY_DENIED:
        return refuse(viewer, SFL_AUTH_DENY_LIST, SFL_VIEWER_DENIED);
    case SFL_IDENTITY_BAD_TOKEN:
    case SFL_IDENTITY_BAD_NAMES:
        return refuse(viewer, SFL_AUTH_BAD_TOKEN, SFL_VIEWER_BAD_TOKEN);
    case SFL_IDENTITY_NO_MEMORY:
        break;
    }
    sfl_viewer_deinit(viewer);
    return SFL_VIEWER_NO_MEMORY;
}

// No file says who may what: the page shows nobody more than the gRPC port would.
static enum sfl_viewer_problem init_without_rights(struct sfl_viewer *viewer,
                                                   enum sfl_admin_audience audience, bool has_token,
                                                   bool is_loopback)
{
    viewer->sees_all =
        audience == SFL_ADMIN_FOR_ALL || (audience == SFL_ADMIN_FOR_MACHINE && is_loopback);
    viewer->acts = viewer->sees_all && is_loopback;
    return has_token && !viewer->sees_all ? SFL_VIEWER_BAD_TOKEN : SFL_VIEWER_FINE;
}

enum sfl_viewer_problem sfl_viewer_init(struct sfl_viewer *viewer,
                                        const struct sfl_admin_sources *sources,
                                        const char *authorization, bool is_loopback)
{
    *viewer = (struct sfl_viewer){.security = sources->security};
    if (sources->security == NULL)
        return init_without_rights(viewer, sources->audience, authorization != NULL, is_loopback);
    struct sfl_credentials credentials = {
        .may_show_token = is_loopback,
        .has_token = authorization != NULL,
        .are_names_whole = true,
    };
    credentials.is_token_readable =
        authorization != NULL && read_bearer(authorization, &credentials.token);
    viewer->identity = sfl_identity_create(sources->security, &credentials);
    return viewer->identity == NULL ? SFL_VIEWER_NO_MEMORY : judge(viewer);
}

void sfl_viewer_deinit(struct sfl_viewer *viewer)
{
    sfl_identity_destroy(viewer->identity);
    *viewer = (struct sfl_viewer){.identity = NULL};
}

bool sfl_viewer_renew(struct sfl_viewer *viewer)
{
    if (viewer->identity == NULL ||
        sfl_identity_generation(viewer->identity) == sfl_security_generation(viewer->security))
        return true;
    sfl_identity_renew(viewer->identity);
    enum sfl_identity_state state = sfl_identity_state(viewer->identity);
    return state == SFL_IDENTITY_GOOD || state == SFL_IDENTITY_NOBODY;
}

bool sfl_viewer_has_rights_on(const struct sfl_viewer *viewer)
{
    return viewer->security != NULL || !viewer->sees_all;
}

bool sfl_viewer_may(const struct sfl_viewer *viewer, enum sfl_right right, struct sfl_span group)
{
    if (viewer->security != NULL)
        return (sfl_identity_rights(viewer->identity, group) & right) != 0;
    return right == SFL_RIGHT_LIST ? viewer->sees_all : viewer->acts;
}

bool sfl_viewer_is_known(const struct sfl_viewer *viewer)
{
    return viewer->security != NULL && sfl_identity_is_known(viewer->identity);
}

void sfl_viewer_note_refusal(const struct sfl_viewer *viewer, enum sfl_right right)
{
    char name[SFL_VIEWER_NAME_MAX];
    enum sfl_auth_denied denied =
        sfl_viewer_is_known(viewer) ? SFL_AUTH_NOT_ALLOWED : SFL_AUTH_NOBODY;
    sfl_viewer_name(viewer, name);
    sfl_security_count_denied(viewer->security, denied);
    sfl_log_of(SFL_LOG_WARN, "page_refused", name, SFL_STR("right", sfl_right_word(right)),
               SFL_STR("reason", sfl_auth_denied_word(denied)));
}

void sfl_viewer_name(const struct sfl_viewer *viewer, char name_out[static SFL_VIEWER_NAME_MAX])
{
    static_assert((int)SFL_VIEWER_NAME_MAX == (int)SFL_IDENTITY_TEXT_MAX, "names fit");
    if (viewer->identity == NULL)
        snprintf(name_out, SFL_VIEWER_NAME_MAX, "the page");
    else
        sfl_identity_text(viewer->identity, name_out);
}
