// SPDX-License-Identifier: Apache-2.0
//! What the clients in all languages share: client/constants.json.

use std::time::Duration;

pub(crate) const ADDRESS_VARIABLE: &str = "SINGLEFLIGHT_ADDRESS";
pub(crate) const ADDRESS_DEFAULT: &str = "127.0.0.1:7433";
pub(crate) const TLS_CA_VARIABLE: &str = "SINGLEFLIGHT_TLS_CA";
pub(crate) const TLS_CERT_VARIABLE: &str = "SINGLEFLIGHT_TLS_CERT";
pub(crate) const TLS_KEY_VARIABLE: &str = "SINGLEFLIGHT_TLS_KEY";
pub(crate) const TLS_SERVER_NAME_VARIABLE: &str = "SINGLEFLIGHT_TLS_SERVER_NAME";
pub(crate) const TOKEN_FILE_VARIABLE: &str = "SINGLEFLIGHT_TOKEN_FILE";
/// In place of a path: the system's roots.
#[cfg(any(feature = "tls", test))]
pub(crate) const TLS_CA_SYSTEM: &str = "system";
pub(crate) const FILES_LOOK: Duration = Duration::from_secs(1);
/// How long a call looks for a server: longer than one is away that is restarted.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may leave a call without an answer; `connect_timeout`, if that is shorter.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(50);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(2);
pub(crate) const KEEPALIVE_TIME: Duration = Duration::from_secs(20);
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What is to be said when a client is closed has so long to go out.
pub(crate) const CLOSE: Duration = Duration::from_millis(500);
/// On the wire every deadline is a part of the timeout later than the call's own, so that the call
/// is ended here, where a lease is given back, and not by the server, which would keep the flight
/// for a leader that may come back. Equal calls that come a little later take up to half of it.
pub(crate) const WIRE_SLACK_MIN: Duration = Duration::from_secs(1);
pub(crate) const WIRE_SLACK_DIVISOR: u32 = 4;
pub(crate) const RENEWALS_PER_HOLD: u32 = 3;
/// Who was paused beyond the end of a lead waits no longer than this for an answer.
pub(crate) const ASK_MAX: Duration = Duration::from_secs(5);
/// More leads around a call are not told.
pub(crate) const WITHIN_MAX: usize = 32;
pub(crate) const RESULT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// No server of ours sends a larger message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024 + 64 * 1024;
pub(crate) const CHUNK_BYTES_MAX: usize = 64 * 1024;
pub(crate) const DETAILS_BYTES_MAX: usize = 64 * 1024;
pub(crate) const KEY_BYTES_MAX: usize = 64 * 1024;
pub(crate) const CALLER_BYTES_MAX: usize = 128;
/// Types of outcomes that stand for no error of the function.
pub(crate) const TYPE_ENCODE_ERROR: &str = "singleflight.EncodeError";
pub(crate) const TYPE_LIMIT_EXCEEDED: &str = "singleflight.LimitExceeded";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, Value};

    #[test]
    fn they_are_those_of_all_languages() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../constants.json");
        let mut shared: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap();
        let own = json!({
            "address_variable": ADDRESS_VARIABLE,
            "address_default": ADDRESS_DEFAULT,
            "tls_ca_variable": TLS_CA_VARIABLE,
            "tls_cert_variable": TLS_CERT_VARIABLE,
            "tls_key_variable": TLS_KEY_VARIABLE,
            "tls_server_name_variable": TLS_SERVER_NAME_VARIABLE,
            "token_file_variable": TOKEN_FILE_VARIABLE,
            "tls_ca_system": TLS_CA_SYSTEM,
            "files_look_ms": ms(FILES_LOOK),
            "connect_timeout_ms": ms(CONNECT_TIMEOUT),
            "answer_timeout_ms": ms(ANSWER_TIMEOUT),
            "backoff_min_ms": ms(BACKOFF_MIN),
            "backoff_max_ms": ms(BACKOFF_MAX),
            "keepalive_time_ms": ms(KEEPALIVE_TIME),
            "keepalive_timeout_ms": ms(KEEPALIVE_TIMEOUT),
            "close_ms": ms(CLOSE),
            "wire_slack_ms_min": ms(WIRE_SLACK_MIN),
            "wire_slack_divisor": WIRE_SLACK_DIVISOR,
            "renewals_per_hold": RENEWALS_PER_HOLD,
            "ask_ms_max": ms(ASK_MAX),
            "within_max": WITHIN_MAX,
            "result_bytes_max": RESULT_BYTES_MAX,
            "message_bytes_max": MESSAGE_BYTES_MAX,
            "chunk_bytes_max": CHUNK_BYTES_MAX,
            "details_bytes_max": DETAILS_BYTES_MAX,
            "key_bytes_max": KEY_BYTES_MAX,
            "caller_bytes_max": CALLER_BYTES_MAX,
            "type_encode_error": TYPE_ENCODE_ERROR,
            "type_limit_exceeded": TYPE_LIMIT_EXCEEDED,
        });
        let fields = shared.as_object_mut().unwrap();
        fields.remove("about");
        // A bound on when a function is told: tests/reach.rs and the conformance suite look at it.
        fields.remove("lost_told_within_ms");
        assert_eq!(shared, own);
    }
}
