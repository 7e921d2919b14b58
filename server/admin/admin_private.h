// SPDX-License-Identifier: Apache-2.0
// What the files of the admin listener share. Not for anybody outside of it.
//
//   http.c         libmicrohttpd in the loop; which path is whose
//   connections.c  whose turn it is to go when there are too many, and who is too slow
//   request.c      one request, from its headers to its answer
//   answer.c       answers, and the headers that all of them have
//   probes.c       /livez, /readyz, /metrics
//   api.c          /api/v1: what is looked at
//   actions.c      /api/v1: what changes something
//   stream.c       /api/v1/events
//   origin.c       whether a request comes from where it says
//   viewer.c       who asks, and what it may
//   query.c        what it asks for
//   walk.c         looking at all flights, runs and groups, in turns
//   window.c       the rows that somebody sees
//   groups.c, history.c, sampler.c   what is shown beside them
//   json.c, json_text.c              and how it is written
//   page.c, accept.c                 the metrics' formats
//   listener.c     the socket
#ifndef SFL_ADMIN_ADMIN_PRIVATE_H
#define SFL_ADMIN_ADMIN_PRIVATE_H

#include "admin/admin.h"
#include "admin/connections.h"
#include "admin/sampler.h"
#include "admin/walk.h"

#include <microhttpd.h>
#include <uv.h>

struct sfl_admin {
    struct sfl_admin_sources sources;
    char host[SFL_ADMIN_TEXT_MAX]; // of --admin-listen, without brackets
    struct MHD_Daemon *server;
    uv_poll_t poll;
    uv_timer_t timer;
    struct sfl_walk walk;
    struct sfl_look idle_look; // when nobody looks
    struct sfl_sampler sampler;
    struct sfl_list requests; // that wait for a walk
    struct sfl_list streams;
    size_t window_bytes; // of rows that are kept for all who look
    struct sfl_admin_connections connections;
    unsigned open_handles;
    unsigned connection_count; // when it ran last
};

// Counts a connection as one of that state.
void sfl_admin_set_connection(struct sfl_admin *admin, struct MHD_Connection *connection,
                              enum sfl_admin_connection_state state);

// Has libmicrohttpd run soon: a connection was resumed.
void sfl_admin_kick(struct sfl_admin *admin);

#endif
