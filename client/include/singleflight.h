// SPDX-License-Identifier: Apache-2.0
// libsingleflight: many threads, processes and machines ask for the same piece of work at the same
// time; one of them does it, and all of them get what it made. Needs a singleflightd to talk to.
//
//     static enum singleflight_outcome load(struct singleflight_leader *leader, void *context)
//     {
//         if (!query_database(context, &row))
//             return singleflight_leader_error(leader, 7, "no such user");
//         singleflight_leader_write(leader, row.text, row.size);
//         return SINGLEFLIGHT_OUTCOME_OK;
//     }
//
//     struct singleflight_client *client;
//     struct singleflight_result *result;
//     struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
//     options.key = "user_123";
//     options.key_bytes = 8;
//     if (singleflight_client_create(NULL, &client) != SINGLEFLIGHT_OK) ...
//     if (singleflight_do(client, &options, load, database, &result) == SINGLEFLIGHT_OK)
//         use(result->value, result->value_bytes);
//     else
//         complain(result->message);
//     singleflight_result_free(result);
//     singleflight_client_destroy(client);
//
// The words are those of the service: a *flight* is one unit of work for a group and key; the one
// caller that runs the function is its *leader*, the others are *followers*; the *token* of a
// leader is greater than every token granted before for that key: hand it to what the function
// writes to, so that a leader that was paused and has been replaced is refused there.
//
// Conventions, everywhere below:
// - Durations are milliseconds, sizes are bytes. 0 means "the default" or "none", as is said; of a
//   timeout it is a timeout of zero, and SINGLEFLIGHT_NOT_GIVEN is what its ..._INIT gives it.
// - What is passed in is copied before the function returns, unless something else is said. Texts
//   are UTF-8 and end with NUL. NULL is taken for an empty text.
// - Every function may be called from any thread, also from the callbacks of this library, unless
//   something else is said. "The client's thread" is the one thread that a client starts: it calls
//   all callbacks, one at a time, and must not be blocked by them.
// - A process that forks must create its clients after the fork, in the child.
// - Only structs that carry `struct_bytes` are filled in by the program; start them from their
//   ..._INIT, so that a program built today works with a later library.
#ifndef SINGLEFLIGHT_H
#define SINGLEFLIGHT_H

#include "singleflight/admin.h"
#include "singleflight/api.h"
#include "singleflight/observer.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- the client ----

struct singleflight_client_options {
    size_t struct_bytes;

    // Servers: "host:port" or "unix:/path"; nothing else is one. NULL: the environment variable
    // SINGLEFLIGHT_ADDRESS, comma separated; without that, 127.0.0.1:7433.
    //
    // With several addresses, each key has one home among them by rendezvous hashing: the address
    // with the greatest XXH64 (seed 0) of <address> 00 <group> 00 <key> ("default" for an empty
    // group), the first of equal ones. So all programs must write the addresses in the same way.
    // A server that refuses the connection, is not to be found, drains, or leaves a call without an
    // answer for 5 s (connect_timeout_ms, if that is shorter) is "down": the next in that order
    // stands in for it at once, until it answers a health check again, which is tried all the time.
    // Who leads stays with its server.
    const char *const *addresses;
    size_t address_count;

    // The caller's name in listings, at most 128 bytes. NULL: <program>@<host>:<process id>.
    const char *caller;

    // When no server can be reached: run the function here, alone, and say so in the result
    // (failed_open); at once when every address refuses the connection or is not to be found.
    // Otherwise such calls end with UNAVAILABLE. A server that drains is there: the call looks for
    // another until connect_timeout_ms is over, and ends with UNAVAILABLE. A function that runs
    // already when its server is lost goes on to its end; its lead is not lost then, though
    // somebody else may be made the leader (compare tokens).
    bool fail_open;

    // How long a call looks for a server that takes it, at first or after the connection broke,
    // before it ends with UNAVAILABLE: longer than a server is away that is restarted. With
    // fail_open it is no longer than it takes to know that none is there. 0: it does not wait for a
    // connection, and takes one that is there. Not given: 30,000.
    uint64_t connect_timeout_ms;

    // The wait between two tries to connect is random, between 0 and a bound that doubles from the
    // first figure to the second. 0: 50 and 2,000.
    uint64_t backoff_min_ms;
    uint64_t backoff_max_ms;

    // A ping goes out after so much silence, and the connection is given up when nothing answers
    // it in the second time. 0: 20,000 and 5,000.
    uint64_t keepalive_time_ms;
    uint64_t keepalive_timeout_ms;

    // The largest value that this process makes or takes. 0: 64 MiB.
    size_t result_bytes_max;

    // How many bytes of one value may wait to be sent: see singleflight_leader_write(). 0: 1 MiB.
    size_t unsent_bytes_max;

    // Not used. To programs built before it came, connect_timeout_ms 0 is not given.
    uint64_t reserved;

    // TLS, for all addresses but unix: ones, which are always plain. All four are of files in PEM,
    // but for the name. NULL: the environment variables SINGLEFLIGHT_TLS_CA, SINGLEFLIGHT_TLS_CERT,
    // SINGLEFLIGHT_TLS_KEY and SINGLEFLIGHT_TLS_SERVER_NAME; "": none, whatever those say. Files
    // that have changed are read again for the next connection; what cannot be used leaves the old.
    const char *tls_ca;          // whom to trust, "system": the system's roots. TLS is on with it
    const char *tls_cert;        // this program's own certificate, for mutual TLS: with its key
    const char *tls_key;         // only, and both with tls_ca only
    const char *tls_server_name; // the name to verify instead of that in the address

    // A file that holds the token to show to the server, blanks around it left out. It is read
    // again when it changes, looked at once a second at most. NULL: the environment variable
    // SINGLEFLIGHT_TOKEN_FILE; "": none. Not with an address that is neither encrypted nor local.
    const char *token_file;

    // Told what happens to calls: see singleflight/observer.h. Copied. NULL: nobody.
    const struct singleflight_observer *observer;
};

#define SINGLEFLIGHT_CLIENT_OPTIONS_INIT                                                           \
    {                                                                                              \
        .struct_bytes = sizeof(struct singleflight_client_options),                                \
        .connect_timeout_ms = SINGLEFLIGHT_NOT_GIVEN,                                              \
    }

// Makes a client and starts its thread. Connects when the first call needs it. `options` may be
// NULL for the defaults. To be destroyed by singleflight_client_destroy().
// INVALID_ARGUMENT: an address, option or file cannot be used, singleflight_last_error() says
// which; RESOURCE_EXHAUSTED: no memory, no thread.
SINGLEFLIGHT_API enum singleflight_status
singleflight_client_create(const struct singleflight_client_options *options,
                           struct singleflight_client **client_out) SINGLEFLIGHT_MUST_USE;

// Ends every call that is left with CANCELLED (leaders are told that they lost the lead, and their
// followers elsewhere go on without them), calls the last callbacks, ends the thread, frees the
// client. No function may be called with this client any more; a leader of it stays valid until it
// is finished, and does nothing. NULL is fine. Not from a callback.
SINGLEFLIGHT_API void singleflight_client_destroy(struct singleflight_client *client);

// ---- options of one call ----

enum singleflight_role {
    SINGLEFLIGHT_ROLE_ANY = 0,
    SINGLEFLIGHT_ROLE_LEAD_ONLY = 1,   // ABORTED at once when somebody else leads
    SINGLEFLIGHT_ROLE_FOLLOW_ONLY = 2, // NOT_FOUND at once when there is nothing to follow
};

enum singleflight_leader_loss {
    SINGLEFLIGHT_LEADER_LOSS_PROMOTE = 0, // the oldest follower runs the function anew
    SINGLEFLIGHT_LEADER_LOSS_FAIL = 1,    // every follower ends with ABORTED
    // The loss is the outcome, ABANDONED, for every follower, and is retained by retain_error_ms:
    // for what may not be tried twice.
    SINGLEFLIGHT_LEADER_LOSS_HOLD = 2,
};

// Those marked (opener) hold for the flight as its first caller gave them; the others are each
// caller's own.
//
// Equal calls are merged inside the client before they go to the network: one of them joins the
// flight, and all get its result; the first one that still waits runs its function when this
// process is told to lead. Calls are equal when everything below is, except timeout_ms,
// connect_timeout_ms, within, traceparent and the functions. Calls that are live, fresh, of another
// role than ANY, with a resume_token or no_local_merge are never merged. A call whose deadline is
// much later than that of the call that it would wait for joins by itself.
//
// A caller that leaves (its timeout is over, or it is cancelled) takes nothing from the others.
// When its function runs it ends at once all the same, and the function goes on as long as anybody
// waits for it, here or elsewhere; when nobody does any more the function learns that it lost the
// lead.
struct singleflight_do_options {
    size_t struct_bytes;

    const char *group; // at most 128 bytes of [A-Za-z0-9._-]; NULL or "": the group "default"
    const void *key;   // 1 to 1,024 bytes, any bytes
    size_t key_bytes;

    // The call ends with DEADLINE_EXCEEDED after that, whatever its function does; 0: at once. Not
    // given: never.
    uint64_t timeout_ms;

    uint64_t retain_ms;       // (opener) keep an OK outcome so long, at most 7 days; 0: not
    uint64_t retain_error_ms; // (opener) the same for every other outcome
    uint64_t max_age_ms;      // take a retained outcome only if it is not older; 0: any

    // (opener) 0: who leads does so as long as its connection holds. 1,000 to 600,000: as long as
    // its process renews the lease in time, which the library does, also over a broken connection.
    uint64_t lease_ms;
    uint64_t run_limit_ms; // (opener) a leader that runs longer is replaced; 0: 24 hours
    enum singleflight_leader_loss on_leader_loss; // (opener)
    uint32_t max_attempts;                        // (opener) leaders in all; 0: no limit
    enum singleflight_role role;
    bool live;     // asynchronous calls: on_chunk as the leader writes, not only at the end
    bool audience; // while leading, learn who waits: singleflight_leader_audience()

    // (opener) A hash of the function's arguments, at most 64 bytes: the same key with another one
    // is refused with FAILED_PRECONDITION. NULL: not compared.
    const void *fingerprint;
    size_t fingerprint_bytes;

    const char *caller; // name in listings; NULL: that of the client

    // Not 0: take back the lead that this token was granted, with a lease, to a process that has
    // ended since. What it had written stays, and what is written now comes after it; the value in
    // this call's own result is only what is written now.
    uint64_t resume_token;

    uint64_t connect_timeout_ms; // not given: the client's
    bool fail_open;              // in addition to the client's
    bool no_fail_open;           // never for this call, whatever the client's
    // Go to the network in any case. A merged call knows nothing of a Forget by another process: it
    // may get the outcome of a flight that was forgotten before the call began, and that this
    // process had joined before. (A Forget through the same client does end the merging.)
    bool no_local_merge;
    bool no_value; // do not collect the value in the result (on_chunk has had it)

    // Join no flight that was led before this call, and take no retained outcome: for whoever has
    // just written. If a flight runs, this call waits for the next one, which all fresh ones share.
    bool fresh;

    // (opener) retain_ms and retain_error_ms count from when the leader began, not from the end:
    // for "at most once in an hour". What took longer is not retained.
    bool retain_from_lead;

    // Serve a retained outcome up to so old at once (0: no older one than max_age_ms says), and
    // when it is older than max_age_ms make a new one in the background, by this call's function,
    // once for all callers that want it. When that fails the old one is served on. Without
    // max_age_ms every retained outcome that is served is refreshed. Asynchronous calls get it by
    // on_stale. For blocking ones the function runs on a thread of its own, as with timeout_ms. Not
    // for calls that are live, fresh, resume, or have a role.
    uint64_t stale_ms;

    // The lead inside which this call is made. A call for a key that it, or one that it was made
    // inside, leads would wait for itself, and is refused with FAILED_PRECONDITION. NULL: the lead
    // of the blocking Do whose function runs on this thread, if there is one.
    const struct singleflight_leader *within;

    // Asynchronous calls: when this call leaves its function ends, too, although others may wait
    // for it: on_lost comes, and then, when it is finished, on_done. For a process that ends then.
    bool ends_function;

    // Blocking calls: called once with the `context` of the function, on any thread, when the
    // library will not use it any more. That may be long after the call returned: see
    // singleflight_do().
    void (*release_context)(void *context);

    // The W3C trace context in which this call is made, such as
    // "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": the server's spans of the call are
    // its children. NULL, or one that is none: no trace. Calls with different ones are merged.
    const char *traceparent;
};

#define SINGLEFLIGHT_DO_OPTIONS_INIT                                                               \
    {                                                                                              \
        .struct_bytes = sizeof(struct singleflight_do_options),                                    \
        .timeout_ms = SINGLEFLIGHT_NOT_GIVEN, .connect_timeout_ms = SINGLEFLIGHT_NOT_GIVEN,        \
    }

// ---- the blocking Do ----

// The lead of one flight, in the hands of whoever runs the function.
struct singleflight_leader;

// The function. It writes the value with singleflight_leader_write(), in as many pieces as it
// likes, and returns how it ended; an error is described by singleflight_leader_error() or
// singleflight_leader_set_error() before. `context` is the caller's.
typedef enum singleflight_outcome singleflight_function(struct singleflight_leader *leader,
                                                        void *context);

// Asks for the work: runs `function` if this caller is told to lead, or else waits for who leads.
// Returns the status, which is also in the result. `function` may be NULL with FOLLOW_ONLY.
//
// The function runs on this thread, and the call returns when it has returned. With a timeout_ms it
// runs on a thread of its own instead, so that the call returns in time. Then what `context` points
// to must stay valid until the function has returned, or release_context is called.
//
// `*result_out` is set whatever happens, never to NULL, and is to be freed; `result_out` may be
// NULL if nobody cares.
//
// When the lead is lost while the function runs, the function is told (singleflight_leader_lost),
// and the call ends with ABORTED after it has returned. A function that leaves by pthread_exit(),
// by thread cancellation or by a C++ exception ends the flight with ABANDONED. (An exception that
// leaves a function on a thread of its own ends the process, as always.)
// FAILED_PRECONDITION: called from a callback.
SINGLEFLIGHT_API enum singleflight_status
singleflight_do(struct singleflight_client *client, const struct singleflight_do_options *options,
                singleflight_function *function, void *context,
                struct singleflight_result **result_out);

// ---- what a leader does ----
//
// All of these may be called from any thread while the function runs: in a blocking Do until it
// returns, in an asynchronous one until singleflight_leader_finish().

// The fencing token; 0 when the function runs here because no server could be reached.
SINGLEFLIGHT_API uint64_t singleflight_leader_token(const struct singleflight_leader *leader);

// The how-many-eth leader of the flight this is, from 1. Above 1, somebody else has begun the work
// and was lost.
SINGLEFLIGHT_API uint32_t singleflight_leader_attempt(const struct singleflight_leader *leader);

// The lease and the run limit that hold, as the flight's first caller asked for them. 0: none.
SINGLEFLIGHT_API uint64_t singleflight_leader_lease_ms(const struct singleflight_leader *leader);
SINGLEFLIGHT_API uint64_t
singleflight_leader_run_limit_ms(const struct singleflight_leader *leader);

// How many bytes the value may have: result_bytes_max, or what the server takes if that is less.
SINGLEFLIGHT_API uint64_t
singleflight_leader_value_bytes_max(const struct singleflight_leader *leader);

// Appends bytes to the value. They go out at once, in the background, to followers that are live.
//
// In a blocking Do it waits while more than unsent_bytes_max bytes are not sent yet. In an
// asynchronous one it never waits: look at singleflight_leader_unsent(), stop writing when it is
// above the bound, and go on at on_drained.
//
// When a connection with a lease breaks, what was written is sent again as far as it is missing.
//
// The status that on_lost brings when the lead is lost: stop, nobody takes the rest.
// RESOURCE_EXHAUSTED: the value is larger than result_bytes_max or the server's limit, or no
// memory; such a flight cannot end OK any more: it ends with ERROR, the code 8 and the type
// SINGLEFLIGHT_TYPE_LIMIT_EXCEEDED.
SINGLEFLIGHT_API enum singleflight_status
singleflight_leader_write(struct singleflight_leader *leader, const void *data, size_t data_bytes);

// How many written bytes are not sent yet.
SINGLEFLIGHT_API size_t singleflight_leader_unsent(const struct singleflight_leader *leader);

// An error of the function. All texts may be NULL.
struct singleflight_error {
    size_t struct_bytes;
    int32_t code;
    const char *message;
    const char *type;
    const char *stack;
    const void *details; // at most 64 KiB
    size_t details_bytes;
};

#define SINGLEFLIGHT_ERROR_INIT                                                                    \
    {                                                                                              \
        .struct_bytes = sizeof(struct singleflight_error)                                          \
    }

// Describes the error that the function ends with; replaces what was set before. Bytes that are no
// UTF-8 are replaced by "?" in the texts.
// RESOURCE_EXHAUSTED: no memory; INVALID_ARGUMENT: details too large. Nothing is set then.
SINGLEFLIGHT_API enum singleflight_status
singleflight_leader_set_error(struct singleflight_leader *leader,
                              const struct singleflight_error *error);

// The short forms, for the last line: return singleflight_leader_error(leader, 7, "why");
// They return SINGLEFLIGHT_OUTCOME_ERROR and SINGLEFLIGHT_OUTCOME_PANIC. A crash by signal cannot
// be caught here: such a process is simply lost, and another takes over.
SINGLEFLIGHT_API enum singleflight_outcome
singleflight_leader_error(struct singleflight_leader *leader, int32_t code, const char *message);
SINGLEFLIGHT_API enum singleflight_outcome
singleflight_leader_panic(struct singleflight_leader *leader, const char *message,
                          const char *stack);

// Keep this outcome for so long instead of what retain_ms or retain_error_ms say; 0: do not keep.
SINGLEFLIGHT_API void singleflight_leader_set_retain(struct singleflight_leader *leader,
                                                     uint64_t retain_ms);

// With an outcome other than OK: this failure is mine, not that of the work; let the next caller
// try. This call ends with its own outcome. The others get the last failure once nobody is left to
// try. Without effect on an OK outcome, and under SINGLEFLIGHT_LEADER_LOSS_FAIL.
SINGLEFLIGHT_API void singleflight_leader_pass_on(struct singleflight_leader *leader);

// Who waits for the outcome.
struct singleflight_audience {
    uint32_t followers;
    uint64_t latest_deadline_ms; // from when it was learnt; 0: somebody waits without a deadline
};

// Tells who waits, as far as known. False, and nothing is told, when the call did not ask for
// `audience` or nobody has waited yet.
SINGLEFLIGHT_API bool singleflight_leader_audience(const struct singleflight_leader *leader,
                                                   struct singleflight_audience *audience_out);

// OK while this is the leader. Otherwise why it is not: ABORTED (replaced, or the connection or the
// lease is gone), CANCELLED, or DEADLINE_EXCEEDED (nobody waits any more). A long function asks now
// and then, and stops.
//
// The answer is worked out from the clock at this moment, a clock that goes on while the process or
// the machine sleeps: a lead holds from one renewal that the server has answered for as long as the
// lease (without one, for as long as the server bears silence). So it says "lost" in the first
// instant after a pause, too, though the server may give the lead back: then it is OK again, and
// on_lost never comes. Only what checks the token is safe from a late leader all the same.
SINGLEFLIGHT_API enum singleflight_status
singleflight_leader_lost(const struct singleflight_leader *leader);

// Waits at most `timeout_ms` (UINT64_MAX: without bound) until the lead is lost; the same answer.
// Not on the client's thread.
SINGLEFLIGHT_API enum singleflight_status
singleflight_leader_wait_lost(struct singleflight_leader *leader, uint64_t timeout_ms);

// A file descriptor that becomes readable (and stays so) when the lead is lost: for poll() and the
// like. Do not read from it or close it; it belongs to the leader. -1 when there is none left.
SINGLEFLIGHT_API int singleflight_leader_lost_fd(struct singleflight_leader *leader);

// ---- the asynchronous Do ----

// A call under way.
struct singleflight_call;

// What happens to a call. Each function may be NULL (on_lead only with FOLLOW_ONLY) and is called
// on the client's thread, with the `context` of the call, and never before singleflight_do_async()
// has been entered, but perhaps before it has returned. What they get is borrowed until they
// return, except for `leader` and `result`.
struct singleflight_call_events {
    size_t struct_bytes;

    // This call leads: start the function somewhere. The leader is the program's from now on, until
    // it calls singleflight_leader_finish(), which it must do once, on any thread, also when the
    // lead is lost.
    void (*on_lead)(void *context, struct singleflight_leader *leader);

    // Somebody else leads: the how-many-eth attempt, the leader's name, and how long it has run.
    void (*on_follow)(void *context, uint32_t attempt, const char *leader, uint64_t running_ms);

    // With `live`, while following: the next bytes of the value; all of them have come before
    // on_done, also those that a retained outcome holds.
    void (*on_chunk)(void *context, const void *data, size_t data_bytes);

    // With `live`: what on_chunk brought so far is void; what comes is of the given attempt of that
    // leader. Comes when the leader was replaced, or when this client lost its connection and
    // joined anew; also right before on_lead, if there was anything to void.
    void (*on_restart)(void *context, uint32_t attempt, const char *leader);

    // With `audience`, while leading: singleflight_leader_audience() tells something new.
    void (*on_audience)(void *context, struct singleflight_leader *leader);

    // The unsent bytes have fallen to half of unsent_bytes_max after they had been above it.
    void (*on_drained)(void *context, struct singleflight_leader *leader);

    // The lead is lost: stop the function, then call singleflight_leader_finish(). on_done waits
    // for it.
    void (*on_lost)(void *context, struct singleflight_leader *leader,
                    enum singleflight_status status, const char *why);

    // The end, exactly once, last. It waits for the finish of a leader, unless the call has left.
    // `result` is the program's now: singleflight_result_free().
    void (*on_done)(void *context, struct singleflight_result *result);

    // With stale_ms: an outcome that is older than max_age_ms. `result` is the program's now. The
    // call goes on as the refresh: on_lead may come, and on_done tells what became of it.
    void (*on_stale)(void *context, struct singleflight_result *result);
};

#define SINGLEFLIGHT_CALL_EVENTS_INIT                                                              \
    {                                                                                              \
        .struct_bytes = sizeof(struct singleflight_call_events)                                    \
    }

// Asks for the work without waiting. `events` is copied. `call_out` may be NULL when the call will
// not be cancelled; otherwise it is to be given back by singleflight_call_release().
// On any status but OK nothing has begun, and no callback comes: INVALID_ARGUMENT,
// FAILED_PRECONDITION (it would wait for itself, see `within`), RESOURCE_EXHAUSTED for memory.
// Everything else is told by on_done.
SINGLEFLIGHT_API enum singleflight_status
singleflight_do_async(struct singleflight_client *client,
                      const struct singleflight_do_options *options,
                      const struct singleflight_call_events *events, void *context,
                      struct singleflight_call **call_out) SINGLEFLIGHT_MUST_USE;

// Leaves: on_done comes with CANCELLED, unless the call has ended by itself. The function of a
// leader goes on as long as anybody waits for it; no callback comes any more, but
// singleflight_leader_lost() and its like tell when nobody does, and the leader is still to be
// finished. (With ends_function: on_lost, and on_done after the finish.)
SINGLEFLIGHT_API void singleflight_call_cancel(struct singleflight_call *call);

// Gives the handle back, at any time; the call goes on. NULL is fine.
SINGLEFLIGHT_API void singleflight_call_release(struct singleflight_call *call);

// Ends the function of an asynchronous Do with what was written and set so far. Takes the leader
// back: it must not be used any more. SINGLEFLIGHT_OUTCOME_NONE counts as ABANDONED.
SINGLEFLIGHT_API void singleflight_leader_finish(struct singleflight_leader *leader,
                                                 enum singleflight_outcome outcome);

#ifdef __cplusplus
}
#endif

#endif
