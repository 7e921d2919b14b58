// SPDX-License-Identifier: Apache-2.0
// What each path answers.
#ifndef SFL_ADMIN_ROUTES_H
#define SFL_ADMIN_ROUTES_H

#include "admin/request.h"

// probes.c
enum MHD_Result sfl_answer_live(struct sfl_request *request);
enum MHD_Result sfl_answer_ready(struct sfl_request *request);
enum MHD_Result sfl_answer_metrics(struct sfl_request *request);

// web.c; NULL: there is no such file.
struct sfl_admin_asset;
const struct sfl_admin_asset *sfl_web_find(const char *path);
enum MHD_Result sfl_web_answer(struct MHD_Connection *connection,
                               const struct sfl_admin_asset *asset);

// api.c
enum MHD_Result sfl_answer_status(struct sfl_request *request);
enum MHD_Result sfl_answer_history(struct sfl_request *request);
enum MHD_Result sfl_answer_flights(struct sfl_request *request);
enum MHD_Result sfl_answer_runs(struct sfl_request *request);

// What is in force now, for this viewer, made with malloc(); NULL: there is no memory.
char *sfl_api_status(struct sfl_admin *admin, const struct sfl_admin_counts *counts,
                     const struct sfl_viewer *viewer);

// stream.c
enum MHD_Result sfl_answer_events(struct sfl_request *request);
// Has every stream look again; `point`: it was added to the history. NULL: none was.
void sfl_streams_tick(struct sfl_admin *admin, const struct sfl_history_point *point);
// Has every connection that waits go on, so that it can be ended.
void sfl_streams_wake(struct sfl_admin *admin);

#endif
