// SPDX-License-Identifier: Apache-2.0
#include "transport/admit.h"

#include "base/local_heap.h"
#include "base/log.h"
#include "core/flight_table.h"
#include "rpc/identity.h"
#include "rpc/stream.h"
#include "transport/transport.h"

#include <assert.h>
#include <stdlib.h>

static const struct sfl_refusal none = {.reason = SFL_REASON_NONE};
static const struct sfl_refusal no_memory = {.reason = SFL_REASON_NO_MEMORY};

enum { LOST_TOLD_MAX = 8 }; // groups of a stream whose caller has lost everything

// --- what is refused ---

static enum sfl_reason reason_of_state(enum sfl_identity_state state)
{
    switch (state) {
    case SFL_IDENTITY_GOOD:
        return SFL_REASON_NONE;
    case SFL_IDENTITY_BAD_TOKEN:
        return SFL_REASON_BAD_TOKEN;
    case SFL_IDENTITY_OPEN_TOKEN:
        return SFL_REASON_OPEN_TOKEN;
    case SFL_IDENTITY_BAD_NAMES:
        return SFL_REASON_BAD_NAMES;
    case SFL_IDENTITY_NOBODY:
        return SFL_REASON_NOBODY;
    case SFL_IDENTITY_DENIED:
        return SFL_REASON_DENY_LIST;
    case SFL_IDENTITY_NO_MEMORY:
        return SFL_REASON_NO_MEMORY;
    }
    return SFL_REASON_NO_MEMORY;
}

static enum sfl_auth_denied denied_of_reason(enum sfl_reason reason)
{
    if (reason == SFL_REASON_BAD_TOKEN)
        return SFL_AUTH_BAD_TOKEN;
    if (reason == SFL_REASON_OPEN_TOKEN)
        return SFL_AUTH_OPEN_TOKEN;
    if (reason == SFL_REASON_BAD_NAMES)
        return SFL_AUTH_BAD_NAMES;
    if (reason == SFL_REASON_NOBODY)
        return SFL_AUTH_NOBODY;
    return reason == SFL_REASON_DENY_LIST ? SFL_AUTH_DENY_LIST : SFL_AUTH_NOT_ALLOWED;
}

static enum sfl_reason reason_of_right(enum sfl_right right)
{
    switch (right) {
    case SFL_RIGHT_DO:
        return SFL_REASON_MAY_NOT_DO;
    case SFL_RIGHT_LEAD:
        return SFL_REASON_MAY_NOT_LEAD;
    case SFL_RIGHT_FORGET:
        return SFL_REASON_MAY_NOT_FORGET;
    case SFL_RIGHT_END:
        return SFL_REASON_MAY_NOT_END;
    case SFL_RIGHT_LIST:
        return SFL_REASON_MAY_NOT_LIST;
    case SFL_RIGHT_ADMIN:
        return SFL_REASON_MAY_NOT_ADMIN;
    }
    return SFL_REASON_MAY_NOT_ADMIN;
}

// `right` NULL: it may not call at all.
static struct sfl_refusal refuse(const struct sfl_admit *admit, enum sfl_reason reason,
                                 struct sfl_span group, const char *right)
{
    char who[SFL_IDENTITY_TEXT_MAX];
    struct sfl_refusal refusal = {.reason = reason};
    enum sfl_auth_denied denied = denied_of_reason(reason);
    if (reason == SFL_REASON_NO_MEMORY)
        return refusal;
    sfl_security_count_denied(admit->transport->security, denied);
    char *peer = sfl_stream_peer(admit->stream);
    sfl_identity_text(admit->identity, who);
    sfl_log_of(SFL_LOG_WARN, "call_refused", who, SFL_STR("peer", peer), SFL_SPAN("group", group),
               SFL_STR("right", right), SFL_STR("reason", sfl_auth_denied_word(denied)));
    free(peer);
    return refusal;
}

// Who is not known is to say who it is; others have been told no.
static struct sfl_refusal refuse_right(const struct sfl_admit *admit, enum sfl_right right,
                                       struct sfl_span group)
{
    enum sfl_reason reason =
        sfl_identity_is_known(admit->identity) ? reason_of_right(right) : SFL_REASON_NOBODY;
    return refuse(admit, reason, group, sfl_right_word(right));
}

// --- one stream ---

static struct sfl_identity *identify(struct sfl_security *security, struct sfl_stream *stream)
{
    struct sfl_stream_identity seen;
    if (!sfl_stream_identify(stream, &seen))
        return NULL;
    const struct sfl_credentials credentials = {
        .is_unix = seen.is_unix,
        .may_show_token = seen.is_tls || seen.is_unix || seen.is_loopback,
        .has_token = seen.has_bearer,
        .is_token_readable = seen.is_bearer_readable,
        .token = seen.bearer,
        .are_names_whole = seen.are_names_whole,
        .names = seen.names,
        .name_count = seen.name_count,
    };
    return sfl_identity_create(security, &credentials);
}

static enum sfl_reason reason_to_end(const struct sfl_admit *admit)
{
    return reason_of_state(sfl_identity_state(admit->identity));
}

static void forget_current(struct sfl_admit *admit)
{
    for (unsigned i = 0; i < SFL_ADMIT_SLOTS; i++)
        admit->current[i] = NULL;
}

struct sfl_refusal sfl_admit_open(struct sfl_admit *admit, struct sfl_transport *transport,
                                  struct sfl_stream *stream)
{
    admit->transport = transport;
    admit->stream = stream;
    admit->identity = NULL;
    admit->is_shut = false;
    sfl_list_init(&admit->grants);
    sfl_link_init(&admit->in_watched);
    admit->recheck = NULL;
    if (transport->security == NULL)
        return none;
    forget_current(admit);
    admit->identity = identify(transport->security, stream);
    admit->is_shut = admit->identity == NULL;
    if (admit->is_shut)
        return no_memory;
    admit->generation = sfl_identity_generation(admit->identity);
    admit->in_force = sfl_security_generation_in_force(transport->security);
    enum sfl_reason reason = reason_to_end(admit);
    return reason == SFL_REASON_NONE ? none : refuse(admit, reason, sfl_span_of(NULL, 0), NULL);
}

static void free_grant(struct sfl_grant *grant)
{
    while (sfl_list_pop(&grant->calls) != NULL)
        ;
    sfl_link_remove(&grant->link);
    sfl_free(&sfl_local_heap, grant, sizeof(*grant) + grant->group_size);
}

static struct sfl_grant *first_grant(const struct sfl_admit *admit)
{
    struct sfl_link *link = sfl_list_first(&admit->grants);
    return link == NULL ? NULL : SFL_CONTAINER_OF(link, struct sfl_grant, link);
}

void sfl_admit_close(struct sfl_admit *admit)
{
    struct sfl_grant *grant;
    while ((grant = first_grant(admit)) != NULL)
        free_grant(grant);
    sfl_link_remove(&admit->in_watched);
    sfl_identity_destroy(admit->identity);
    admit->identity = NULL;
}

static bool is_current(const struct sfl_admit *admit)
{
    return admit->generation == atomic_load_explicit(admit->in_force, memory_order_acquire);
}

// Something under way loses its right. `who` had it.
static void log_lost(const char *who, struct sfl_span group, unsigned rights,
                     enum sfl_reason reason)
{
    enum sfl_right right = (rights & SFL_RIGHT_DO) != 0 ? SFL_RIGHT_DO : SFL_RIGHT_LEAD;
    sfl_log_of(SFL_LOG_WARN, "right_lost", who, SFL_SPAN("group", group),
               SFL_STR("right", rights == 0 ? NULL : sfl_right_word(right)),
               SFL_STR("reason", sfl_auth_denied_word(denied_of_reason(reason))));
}

// With its caller, all that the stream has under way does: told for each of some groups.
static void note_all_lost(const struct sfl_admit *admit, const char *who, enum sfl_reason reason)
{
    unsigned told = 0;
    sfl_security_count_denied(admit->transport->security, SFL_AUTH_REVOKED);
    for (struct sfl_link *at = sfl_list_first(&admit->grants); at != NULL && told < LOST_TOLD_MAX;
         at = sfl_list_next(&admit->grants, at)) {
        const struct sfl_grant *grant = SFL_CONTAINER_OF(at, struct sfl_grant, link);
        if (sfl_list_is_empty(&grant->calls))
            continue;
        log_lost(who, sfl_span_of(grant->group, grant->group_size), grant->needs, reason);
        told++;
    }
    if (told == 0)
        log_lost(who, sfl_span_of(NULL, 0), 0, reason);
}

struct sfl_refusal sfl_admit_renew(struct sfl_admit *admit)
{
    if (is_current(admit))
        return (struct sfl_refusal){.reason = reason_to_end(admit)};
    char who[SFL_IDENTITY_TEXT_MAX];
    sfl_identity_text(admit->identity, who); // what its token was called
    sfl_identity_renew(admit->identity);
    admit->generation = sfl_identity_generation(admit->identity);
    forget_current(admit);
    enum sfl_reason reason = reason_to_end(admit);
    if (reason != SFL_REASON_NONE)
        note_all_lost(admit, who, reason);
    return (struct sfl_refusal){.reason = reason};
}

// --- questions ---

static struct sfl_refusal renew_if_changed(struct sfl_admit *admit)
{
    return is_current(admit) && reason_to_end(admit) == SFL_REASON_NONE ? none
                                                                        : sfl_admit_renew(admit);
}

struct sfl_refusal sfl_admit_check(struct sfl_admit *admit, enum sfl_right right,
                                   struct sfl_span group)
{
    if (admit->identity == NULL)
        return admit->is_shut ? no_memory : none;
    struct sfl_refusal refusal = renew_if_changed(admit);
    if (refusal.reason != SFL_REASON_NONE)
        return refusal;
    uint64_t bytes_max = admit->transport->limits->group_bytes_max;
    if (group.size > bytes_max) // no pattern is tried on it
        return (struct sfl_refusal){
            .reason = SFL_REASON_GROUP_SIZE, .a = group.size, .b = bytes_max};
    if ((sfl_identity_rights(admit->identity, group) & right) != 0)
        return none;
    return refuse_right(admit, right, group);
}

struct sfl_refusal sfl_admit_check_server(struct sfl_admit *admit)
{
    if (admit->identity == NULL)
        return admit->is_shut ? no_memory : none;
    struct sfl_refusal refusal = renew_if_changed(admit);
    if (refusal.reason != SFL_REASON_NONE || sfl_identity_is_admin(admit->identity))
        return refusal;
    return refuse_right(admit, SFL_RIGHT_ADMIN, sfl_span_of(NULL, 0));
}

bool sfl_admit_may_list(const struct sfl_admit *admit, struct sfl_span group)
{
    if (admit->identity == NULL)
        return !admit->is_shut;
    return (sfl_identity_rights(admit->identity, group) & SFL_RIGHT_LIST) != 0;
}

// --- joins ---

static bool is_of_group(const struct sfl_grant *grant, struct sfl_span group)
{
    return grant != NULL && grant->group_size == group.size &&
           memcmp(grant->group, group.data, group.size) == 0;
}

static bool is_at_hand(const struct sfl_admit *admit, const struct sfl_grant *grant)
{
    struct sfl_span group = sfl_span_of(grant->group, grant->group_size);
    return admit->current[sfl_admit_slot(group, false)] == grant ||
           admit->current[sfl_admit_slot(group, true)] == grant;
}

// Frees grants that no call relies on any more: two are looked at for each that is made.
static void drop_unused(struct sfl_admit *admit)
{
    for (int looks = 0; looks < 2; looks++) {
        struct sfl_grant *grant = first_grant(admit);
        // Older generations are the recheck's.
        if (grant == NULL || grant->generation != admit->generation)
            return;
        if (sfl_list_is_empty(&grant->calls) && !is_at_hand(admit, grant)) {
            free_grant(grant);
        } else {
            sfl_link_remove(&grant->link);
            sfl_list_append(&admit->grants, &grant->link);
        }
    }
}

static struct sfl_grant *create_grant(struct sfl_admit *admit, struct sfl_span group,
                                      unsigned rights, bool would_lead)
{
    struct sfl_grant *grant = sfl_alloc(&sfl_local_heap, sizeof(*grant) + group.size);
    if (grant == NULL)
        return NULL;
    drop_unused(admit);
    sfl_link_init(&grant->link);
    sfl_list_init(&grant->calls);
    grant->generation = admit->generation;
    grant->rights = rights;
    grant->needs = SFL_RIGHT_DO | (would_lead ? rights & SFL_RIGHT_LEAD : 0);
    grant->group_size = group.size;
    memcpy(grant->group, group.data, group.size);
    sfl_list_append(&admit->grants, &grant->link);
    admit->current[sfl_admit_slot(group, would_lead)] = grant;
    return grant;
}

// Without the right to lead.
static bool make_follow(const struct sfl_admit *admit, struct sfl_join *join,
                        struct sfl_refusal *refusal_out)
{
    if (join->role == SFL_ROLE_LEAD_ONLY || join->resume_token != 0) {
        *refusal_out = refuse_right(admit, SFL_RIGHT_LEAD, join->group);
        return false;
    }
    join->role = SFL_ROLE_FOLLOW_ONLY;
    return true;
}

bool sfl_admit_join_slowly(struct sfl_admit *admit, struct sfl_join *join, bool would_lead,
                           struct sfl_list **relying_out, struct sfl_refusal *refusal_out)
{
    if (admit->is_shut) {
        *refusal_out = no_memory;
        return false;
    }
    struct sfl_grant *grant = admit->current[sfl_admit_slot(join->group, would_lead)];
    if (!is_current(admit) || !is_of_group(grant, join->group)) {
        *refusal_out = sfl_admit_check(admit, SFL_RIGHT_DO, join->group);
        if (refusal_out->reason != SFL_REASON_NONE)
            return false;
        grant = create_grant(admit, join->group, sfl_identity_rights(admit->identity, join->group),
                             would_lead);
        if (grant == NULL) {
            *refusal_out = no_memory;
            return false;
        }
    }
    bool may_lead = (grant->rights & SFL_RIGHT_LEAD) != 0;
    if (would_lead && !may_lead && !make_follow(admit, join, refusal_out))
        return false;
    *relying_out = &grant->calls;
    return true;
}

// --- reloads ---

// Takes a call of a grant of an older generation; NULL when there is none, and then the grant is
// put in order or gone.
static struct sfl_link *take_lost(struct sfl_admit *admit, struct sfl_grant *grant,
                                  enum sfl_reason *reason_out)
{
    struct sfl_span group = sfl_span_of(grant->group, grant->group_size);
    unsigned rights = sfl_identity_rights(admit->identity, group);
    unsigned lost = grant->needs & ~rights;
    if (lost == 0) {
        grant->generation = admit->generation;
        grant->rights = rights;
        sfl_link_remove(&grant->link);
        sfl_list_append(&admit->grants, &grant->link);
        return NULL;
    }
    struct sfl_link *link = sfl_list_pop(&grant->calls);
    if (link == NULL) {
        free_grant(grant);
        return NULL;
    }
    enum sfl_right right = (lost & SFL_RIGHT_DO) != 0 ? SFL_RIGHT_DO : SFL_RIGHT_LEAD;
    char who[SFL_IDENTITY_TEXT_MAX];
    sfl_identity_text(admit->identity, who);
    *reason_out = reason_of_right(right);
    sfl_security_count_denied(admit->transport->security, SFL_AUTH_REVOKED);
    log_lost(who, group, lost, *reason_out);
    return link;
}

enum sfl_lost_right sfl_admit_take_lost(struct sfl_admit *admit, struct sfl_link **relying_out,
                                        enum sfl_reason *reason_out)
{
    struct sfl_grant *grant;
    while ((grant = first_grant(admit)) != NULL && grant->generation != admit->generation) {
        *relying_out = take_lost(admit, grant, reason_out);
        if (*relying_out != NULL)
            return SFL_LOST_RIGHT_CALL;
        if (sfl_pump_should_yield())
            return SFL_LOST_RIGHT_LATER;
    }
    return SFL_LOST_RIGHT_NONE;
}

void sfl_admit_note_forget(const struct sfl_admit *admit, const struct sfl_forget *forget,
                           const struct sfl_forgotten *forgotten)
{
    char who[SFL_IDENTITY_TEXT_MAX];
    if (admit->identity == NULL || !sfl_log_is_on(SFL_LOG_INFO))
        return;
    sfl_identity_text(admit->identity, who);
    // Whoever forgets much must not hide who ends a flight: each event has its own bound on lines.
    if (forgotten->ended)
        sfl_log_of(SFL_LOG_INFO, "ended", who, SFL_SPAN("group", forget->group),
                   SFL_SPAN("key", forget->key), SFL_BOOL("retained", forgotten->retained));
    else
        sfl_log_of(SFL_LOG_INFO, "forgotten", who, SFL_SPAN("group", forget->group),
                   SFL_SPAN("key", forget->key), SFL_BOOL("end", forget->end),
                   SFL_BOOL("flight", forgotten->flight),
                   SFL_BOOL("retained", forgotten->retained));
}

// The streams of one pump. Those that have been looked at since the last reload are at the end.
struct watched {
    struct sfl_list streams;
    bool is_made;
};

static _Thread_local struct watched watched;

struct sfl_admit_reload {
    struct sfl_pump_work work;
    struct sfl_transport *transport;
    atomic_bool is_counted; // in the transport's `reloading`
};

void sfl_admit_watch(struct sfl_admit *admit, bool (*recheck)(struct sfl_admit *admit))
{
    if (admit->identity == NULL)
        return;
    if (!watched.is_made)
        sfl_list_init(&watched.streams);
    watched.is_made = true;
    admit->recheck = recheck;
    admit->checked = admit->generation;
    sfl_list_append(&watched.streams, &admit->in_watched);
}

// False when the turn is over before.
static bool recheck_some(uint64_t generation)
{
    struct sfl_link *link;
    while (watched.is_made && (link = sfl_list_first(&watched.streams)) != NULL) {
        struct sfl_admit *admit = SFL_CONTAINER_OF(link, struct sfl_admit, in_watched);
        if (admit->checked >= generation)
            return true;
        if (!admit->recheck(admit))
            return false;
        admit->checked = admit->generation;
        sfl_link_remove(link);
        sfl_list_append(&watched.streams, link);
        if (sfl_pump_should_yield())
            return false;
    }
    return true;
}

// On each pump. A stream that opens meanwhile has the new rights already.
static void on_reload(struct sfl_pump_work *work)
{
    struct sfl_admit_reload *reload = SFL_CONTAINER_OF(work, struct sfl_admit_reload, work);
    struct sfl_transport *transport = reload->transport;
    if (!recheck_some(sfl_security_generation(transport->security)))
        sfl_pump_defer_crowd(work);
    else if (atomic_exchange(&reload->is_counted, false))
        atomic_fetch_sub(&transport->reloading, 1);
}

bool sfl_admit_is_reloading(const struct sfl_transport *transport)
{
    return atomic_load_explicit(&transport->reloading, memory_order_acquire) > 0;
}

bool sfl_admit_init(struct sfl_transport *transport)
{
    if (transport->security == NULL)
        return true;
    unsigned count = sfl_pumps_count(transport->pumps);
    transport->reloads = calloc(count, sizeof(transport->reloads[0]));
    if (transport->reloads == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        transport->reloads[i].transport = transport;
        transport->reloads[i].work.run = on_reload;
    }
    return true;
}

void sfl_admit_deinit(struct sfl_transport *transport)
{
    free(transport->reloads);
}

void sfl_transport_rights_changed(struct sfl_transport *transport)
{
    unsigned count = sfl_pumps_count(transport->pumps);
    // All are counted before the first one looks.
    for (unsigned i = 0; i < count; i++) {
        if (!atomic_exchange(&transport->reloads[i].is_counted, true))
            atomic_fetch_add(&transport->reloading, 1);
    }
    for (unsigned i = 0; i < count; i++)
        sfl_pump_post(sfl_pumps_get(transport->pumps, i), &transport->reloads[i].work);
}
