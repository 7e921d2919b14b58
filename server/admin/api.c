// SPDX-License-Identifier: Apache-2.0
// /api/v1: what is looked at.
#include "admin/answer.h"
#include "admin/json.h"
#include "admin/routes.h"
#include "base/clock.h"

#include <stdlib.h>

char *sfl_api_status(struct sfl_admin *admin, const struct sfl_admin_counts *counts,
                     const struct sfl_viewer *viewer)
{
    const struct sfl_admin_sources *sources = &admin->sources;
    struct sfl_admin_limits limits;
    struct sfl_admin_health health = {.is_draining = false};
    sources->get_limits(sources->context, &limits);
    sources->look_at_health(sources->context, &health);
    const struct sfl_admin_status status = {
        .now_unix_ms = sfl_clock_wall_us() / 1000,
        .sources = sources,
        .counts = counts,
        .limits = &limits,
        .why_not_ready = health.is_draining ? "draining" : NULL,
        .rates = &admin->sampler.rates,
        .health = &health,
        .groups = &admin->walk.groups,
        .viewer = viewer,
    };
    return sfl_json_status(&status);
}

// Whether the request may be answered, now that the walk is over. Otherwise `*result_out` is what
// to return: it waits, or has been refused.
static bool has_looked(struct sfl_request *request, enum sfl_query_kind kind,
                       enum MHD_Result *result_out)
{
    if (request->has_looked)
        return true;
    if (!sfl_request_open_viewer(request, result_out) ||
        !sfl_request_read_query(request, kind, result_out))
        return false;
    if (kind == SFL_QUERY_FLIGHTS) {
        sfl_flights_window_init(&request->flights, request->query, &request->admin->window_bytes);
        request->look.flights = &request->flights;
    }
    if (kind == SFL_QUERY_RUNS) {
        request->runs = malloc(sizeof(*request->runs));
        if (request->runs == NULL) {
            *result_out = MHD_NO;
            return false;
        }
        sfl_runs_window_init(request->runs, request->query, &request->admin->window_bytes);
        request->look.runs = request->runs;
    }
    sfl_request_wait(request);
    *result_out = MHD_YES;
    return false;
}

enum MHD_Result sfl_answer_status(struct sfl_request *request)
{
    struct sfl_admin *admin = request->admin;
    enum MHD_Result result;
    if (!has_looked(request, SFL_QUERY_NOTHING, &result))
        return result;
    struct sfl_admin_counts counts;
    admin->sources.count(admin->sources.context, &counts);
    return sfl_answer_json(request->connection, MHD_HTTP_OK,
                           sfl_api_status(admin, &counts, &request->viewer));
}

enum MHD_Result sfl_answer_history(struct sfl_request *request)
{
    enum MHD_Result result;
    if (!sfl_request_open_viewer(request, &result) ||
        !sfl_request_read_query(request, SFL_QUERY_NOTHING, &result))
        return result;
    return sfl_answer_json(
        request->connection, MHD_HTTP_OK,
        sfl_json_history(&request->admin->sampler.history, sfl_clock_wall_us() / 1000));
}

enum MHD_Result sfl_answer_flights(struct sfl_request *request)
{
    enum MHD_Result result;
    if (!has_looked(request, SFL_QUERY_FLIGHTS, &result))
        return result;
    return sfl_answer_json(request->connection, MHD_HTTP_OK,
                           sfl_json_flights(&request->flights, &request->viewer));
}

enum MHD_Result sfl_answer_runs(struct sfl_request *request)
{
    enum MHD_Result result;
    if (!has_looked(request, SFL_QUERY_RUNS, &result))
        return result;
    return sfl_answer_json(request->connection, MHD_HTTP_OK, sfl_json_runs(request->runs));
}
