// SPDX-License-Identifier: Apache-2.0
#include "admin_views.h"

#include "admin_wiring.h"
#include "base/log.h"
#include "sockets/guard.h"

// --- counts ---

static void count(void *context, struct sfl_admin_counts *counts_out)
{
    const struct sfl_admin_wiring *wiring = context;
    const struct sfl_admin_parts *parts = &wiring->parts;
    struct sfl_survey survey;
    sfl_engine_survey(parts->engine, NULL, 0, NULL, &survey);
    const struct sfl_stats *all = &survey.all;
    *counts_out = (struct sfl_admin_counts){
        .counters =
            {
                .calls = all->calls,
                .executions = all->executions,
                .saved = all->executions_saved,
                .retained_hits = all->retained_hits,
                .leaders_lost = all->leaders_lost,
                .fenced = all->fenced,
                .forgets = all->forgets,
                .refused = all->refused,
                .retain_refused = all->retain_refused,
                .outcomes_lost = sfl_engine_keeper_state(parts->engine).lost,
            },
        .current =
            {
                .flights = all->flights_now,
                .callers = all->callers_now,
                .retained = all->retained_now,
                .held_bytes = all->bytes_now,
                .retained_bytes = survey.retained_bytes,
                .connections = sfl_guard_counts().connections_now,
            },
        .flight_ms = survey.tally.flight_ms,
        .wait_ms = survey.tally.wait_ms,
    };
}

static void get_limits(void *context, struct sfl_admin_limits *limits_out)
{
    const struct sfl_admin_wiring *wiring = context;
    const struct sfl_limits *limits = wiring->parts.limits;
    *limits_out = (struct sfl_admin_limits){
        .flights = limits->flights_max,
        .callers = limits->callers_max,
        .held_bytes = limits->held_bytes_max,
        .retained_bytes = limits->retained_bytes_max,
        .connections = wiring->parts.settings->connections_max,
    };
}

// --- health ---

static void add_file(struct sfl_admin_files *files, const char *name, const char *why)
{
    if (name != NULL)
        files->items[files->count++] =
            (struct sfl_admin_file){.name = name, .is_failing = why != NULL, .why = why};
}

static void look_at_store(struct sfl_admin_wiring *wiring, struct sfl_admin_health *health)
{
    struct sfl_keeper_state state = sfl_engine_keeper_state(wiring->parts.engine);
    health->has_store = wiring->parts.store != NULL;
    health->is_store_failing = state.failing;
    health->store_bytes_waiting = state.waiting_bytes;
    if (!health->has_store || !state.failing)
        return;
    sfl_store_count(wiring->parts.store, &wiring->store);
    health->store_why = wiring->store.why;
}

// Which of the two is broken, the reason says.
static void look_at_rights(struct sfl_admin_wiring *wiring, struct sfl_admin_health *health)
{
    const struct sfl_settings *settings = wiring->parts.settings;
    if (wiring->parts.security == NULL)
        return;
    sfl_security_get_problem(wiring->parts.security, wiring->problem);
    const char *why = wiring->problem[0] == '\0' ? NULL : wiring->problem;
    add_file(&health->files, settings->token_file, why);
    add_file(&health->files, settings->access_file, why);
}

static void look_at_certificates(const struct sfl_admin_parts *parts,
                                 struct sfl_admin_health *health)
{
    const struct sfl_tls_counts *tls = sfl_door_tls_counts(parts->door);
    if (tls == NULL)
        return;
    add_file(&health->certificates, parts->settings->tls_cert,
             tls->last_reload_was_good ? NULL : parts->door->problem);
    health->certificates.items[0].not_after_unix_s = tls->not_after_unix_s;
}

static void look_at_health(void *context, struct sfl_admin_health *health_out)
{
    struct sfl_admin_wiring *wiring = context;
    *health_out = (struct sfl_admin_health){
        .is_draining = sfl_transport_is_draining(wiring->parts.transport),
    };
    look_at_store(wiring, health_out);
    look_at_rights(wiring, health_out);
    look_at_certificates(&wiring->parts, health_out);
}

// --- flights ---

static const char *outcome_word(int kind)
{
    static const char *const words[] = {"aborted", "ok", "error", "panic", "abandoned"};
    return kind >= 0 && kind < (int)(sizeof(words) / sizeof(words[0])) ? words[kind] : "unknown";
}

static enum sfl_admin_state state_of(const struct sfl_flight_view *view)
{
    if (view->forgotten)
        return SFL_ADMIN_FORGOTTEN;
    if (view->overdue)
        return SFL_ADMIN_OVERDUE;
    switch (view->state) {
    case SFL_FLIGHT_FINDING_HOME:
        return SFL_ADMIN_FINDING_HOME;
    case SFL_FLIGHT_LED:
        return SFL_ADMIN_LED;
    case SFL_FLIGHT_ORPHANED:
        return SFL_ADMIN_ORPHANED;
    case SFL_FLIGHT_NEXT:
        return SFL_ADMIN_NEXT;
    case SFL_FLIGHT_RETAINED:
    case SFL_FLIGHT_SETTLED: // those are not shown
        break;
    }
    return SFL_ADMIN_RETAINED;
}

struct visit {
    sfl_admin_on_flight *on_flight;
    sfl_admin_on_run *on_run;
    sfl_admin_on_group *on_group;
    void *visitor;
};

static bool show_flight(void *context, const struct sfl_flight_view *view)
{
    const struct visit *visit = context;
    bool is_retained = view->state == SFL_FLIGHT_RETAINED;
    bool has_lease = !is_retained && (view->expires_ms > 0 || view->overdue);
    const struct sfl_admin_flight flight = {
        .group = view->group,
        .key = view->key,
        .leader = view->leader,
        .state = state_of(view),
        .outcome = view->outcome == NULL ? NULL : outcome_word((int)view->outcome->kind),
        .callers = view->callers,
        .age_ms = is_retained ? view->ended_ms_ago : view->running_ms,
        .lease_ms = has_lease ? view->expires_ms : SFL_ADMIN_NONE,
        .expires_ms = is_retained ? view->expires_ms : SFL_ADMIN_NONE,
        .attempt = view->attempt,
        .bytes = view->value_bytes,
        .token = view->token,
    };
    if (view->state != SFL_FLIGHT_SETTLED)
        visit->on_flight(visit->visitor, &flight);
    return true;
}

static bool visit_flights(void *context, struct sfl_admin_cursor *cursor,
                          sfl_admin_on_flight *on_flight, void *visitor)
{
    const struct sfl_admin_wiring *wiring = context;
    struct visit visit = {.on_flight = on_flight, .visitor = visitor};
    struct sfl_engine_cursor at = {(unsigned)cursor->at[0], {cursor->at[1]}};
    bool has_more = sfl_engine_visit(wiring->parts.engine, &at, show_flight, &visit);
    *cursor = (struct sfl_admin_cursor){{at.shard, at.table.slot}};
    return has_more;
}

// --- runs ---

static bool show_run(void *context, const struct sfl_run *seen)
{
    const struct visit *visit = context;
    const struct sfl_admin_run run = {
        .group = seen->group,
        .key = seen->key,
        .leader = seen->leader,
        .detail = seen->message,
        .outcome = outcome_word(seen->kind),
        .began_ms = seen->begun_unix_ms,
        .ended_ms = seen->ended_unix_ms,
        .callers = seen->callers,
        .attempt = seen->attempts,
        .bytes = seen->value_bytes,
        .token = seen->token,
    };
    visit->on_run(visit->visitor, &run);
    return true;
}

static bool visit_runs(void *context, struct sfl_admin_cursor *cursor, sfl_admin_on_run *on_run,
                       void *visitor)
{
    const struct sfl_admin_wiring *wiring = context;
    struct visit visit = {.on_run = on_run, .visitor = visitor};
    struct sfl_runs_cursor at = {cursor->at[0]};
    if (wiring->parts.runs == NULL)
        return false;
    bool has_more = sfl_runs_visit(wiring->parts.runs, &at, show_run, &visit);
    cursor->at[0] = at.number;
    return has_more;
}

// --- groups: what the shards have counted, and then what the quotas say ---

static const struct sfl_admin_group_limits no_limits = {
#define NONE(name) .name = SFL_ADMIN_NONE,
    SFL_ADMIN_GROUP_LIMITS_LIST(NONE)
#undef NONE
};

static void show_stats(void *context, struct sfl_span name, const struct sfl_stats *stats)
{
    const struct visit *visit = context;
    const struct sfl_admin_group group = {
        .name = name,
        .flights = stats->flights_now,
        .callers = stats->callers_now,
        .held_bytes = stats->bytes_now,
        .retained_bytes = SFL_ADMIN_NONE,
        .calls = stats->calls,
        .limits = no_limits,
    };
    visit->on_group(visit->visitor, &group);
}

static void show_quota(void *context, struct sfl_span name, struct sfl_quota *quota)
{
    const struct visit *visit = context;
    struct sfl_quota_limits limits = sfl_quota_get(quota);
    const struct sfl_admin_group group = {
        .name = name,
        .retained_bytes = sfl_budget_used(&quota->retained_bytes),
        .limits =
            {
                .flights = limits.flights_max,
                .callers = limits.callers_max,
                .held_bytes = limits.held_bytes_max,
                .retained_bytes = limits.retained_bytes_max,
                .joins_per_s = limits.joins_per_second,
            },
    };
    visit->on_group(visit->visitor, &group);
}

// The quotas come where a shard would that is not there.
static bool visit_groups(void *context, struct sfl_admin_cursor *cursor,
                         sfl_admin_on_group *on_group, void *visitor)
{
    const struct sfl_admin_wiring *wiring = context;
    const struct sfl_admin_parts *parts = &wiring->parts;
    struct visit visit = {.on_group = on_group, .visitor = visitor};
    struct sfl_engine_cursor at = {(unsigned)cursor->at[0], {cursor->at[1]}};
    if (at.shard < sfl_engine_shards(parts->engine)) {
        bool has_more = sfl_engine_visit_groups(parts->engine, &at, show_stats, &visit);
        *cursor = (struct sfl_admin_cursor){{at.shard, at.table.slot}};
        return has_more || parts->quotas != NULL;
    }
    return parts->quotas != NULL &&
           sfl_quotas_visit(parts->quotas, &cursor->at[1], show_quota, &visit);
}

// --- changes ---

static struct sfl_forgotten forget_flight(struct sfl_admin_wiring *wiring, struct sfl_span group,
                                          struct sfl_span key, uint64_t token, const char *who)
{
    const struct sfl_forget forget = {
        .group = group,
        .key = key,
        .end = token != 0,
        .token = token,
        .name = sfl_span_of_text(token == 0 ? "" : who),
    };
    return sfl_engine_forget(wiring->parts.engine, &forget);
}

static bool forget(void *context, struct sfl_span group, struct sfl_span key, const char *who)
{
    struct sfl_forgotten forgotten = forget_flight(context, group, key, 0, who);
    sfl_log_of(SFL_LOG_INFO, "forgotten", who, SFL_SPAN("group", group), SFL_SPAN("key", key),
               SFL_BOOL("end", false), SFL_BOOL("flight", forgotten.flight),
               SFL_BOOL("retained", forgotten.retained));
    return forgotten.flight || forgotten.retained;
}

static bool end(void *context, struct sfl_span group, struct sfl_span key, uint64_t token,
                const char *who)
{
    struct sfl_forgotten forgotten = forget_flight(context, group, key, token, who);
    if (forgotten.ended)
        sfl_log_of(SFL_LOG_INFO, "ended", who, SFL_SPAN("group", group), SFL_SPAN("key", key),
                   SFL_BOOL("retained", forgotten.retained));
    return forgotten.ended;
}

enum sfl_admin_audience sfl_admin_views_audience(const struct sfl_settings *settings)
{
    if (sfl_settings_are_open(settings))
        return SFL_ADMIN_FOR_ALL;
    // A certificate, or the rights of a file.
    if (settings->tls_client_ca != NULL || settings->listen.count == 0)
        return SFL_ADMIN_FOR_NOBODY;
    return SFL_ADMIN_FOR_MACHINE;
}

void sfl_admin_views_set(struct sfl_admin_sources *sources)
{
    sources->count = count;
    sources->get_limits = get_limits;
    sources->look_at_health = look_at_health;
    sources->visit_flights = visit_flights;
    sources->visit_runs = visit_runs;
    sources->visit_groups = visit_groups;
    sources->forget = forget;
    sources->end = end;
}
