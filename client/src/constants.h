// SPDX-License-Identifier: Apache-2.0
// The numbers that the clients of all languages share: client/constants.json, which a unit test
// holds these against.
#ifndef SFL_CLIENT_CONSTANTS_H
#define SFL_CLIENT_CONSTANTS_H

#define SFL_ADDRESS_VARIABLE "SINGLEFLIGHT_ADDRESS"
#define SFL_ADDRESS_DEFAULT "127.0.0.1:7433"
#define SFL_TLS_CA_VARIABLE "SINGLEFLIGHT_TLS_CA"
#define SFL_TLS_CERT_VARIABLE "SINGLEFLIGHT_TLS_CERT"
#define SFL_TLS_KEY_VARIABLE "SINGLEFLIGHT_TLS_KEY"
#define SFL_TLS_SERVER_NAME_VARIABLE "SINGLEFLIGHT_TLS_SERVER_NAME"
#define SFL_TOKEN_FILE_VARIABLE "SINGLEFLIGHT_TOKEN_FILE"
#define SFL_TLS_CA_SYSTEM "system"

// How long the files of certificates and tokens go without a look.
#define SFL_FILES_LOOK_MS 1000

// How long a call looks for a server: longer than one is away that is restarted.
#define SFL_CONNECT_TIMEOUT_MS 30000
// How long a server may leave a join, or a health check, without an answer; connect_timeout_ms, if
// that is shorter.
#define SFL_ANSWER_TIMEOUT_MS 5000
#define SFL_BACKOFF_MIN_MS 50
#define SFL_BACKOFF_MAX_MS 2000
#define SFL_KEEPALIVE_TIME_MS 20000
#define SFL_KEEPALIVE_TIMEOUT_MS 5000

// How long destroying a client waits for its last frames to go out.
#define SFL_CLOSE_MS 500

// On the wire every deadline is a part of the timeout later than the call's own, so that the call
// is ended here, where a lease is given back, and not by the server, which would keep the flight
// for a leader that may come back. Equal calls that come a little later take up to half of it.
#define SFL_WIRE_SLACK_MS_MIN 1000
#define SFL_WIRE_SLACK_DIVISOR 4

// A lead is renewed so many times in the time for which it holds without an answer.
#define SFL_RENEWALS_PER_HOLD 3

// Who was paused beyond the end of its lead asks for so long at most whether it holds still.
#define SFL_ASK_MS_MAX 5000

#define SFL_WITHIN_MAX 32

#define SFL_RESULT_BYTES_MAX ((size_t)64 * 1024 * 1024)

// No server of ours sends a larger one.
#define SFL_MESSAGE_BYTES_MAX ((size_t)4 * 1024 * 1024 + 64 * 1024)

// So that the chunks of several large values take turns.
#define SFL_CHUNK_BYTES_MAX ((size_t)64 * 1024)
#define SFL_DETAILS_BYTES_MAX ((size_t)64 * 1024)

// Far above what any server takes; only keeps a message of ours below its bound.
#define SFL_KEY_BYTES_MAX ((size_t)64 * 1024)

#define SFL_CALLER_BYTES_MAX 128

#endif
