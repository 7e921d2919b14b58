// SPDX-License-Identifier: Apache-2.0
//! A real daemon, over mutual TLS and with tokens and rights.
#![cfg(feature = "tls")]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use singleflightd::{Client, ClientBuilder, Error};
use support::{Certificates, Daemon};

use singleflightd::Code;

const RIGHTS: &str = "[who]
app = token:app
alice = uri:spiffe://prod.example/ns/app/sa/alice
[group open]
do = app alice
lead = app alice
[group follow]
do = app alice
";

fn builder(certificates: &Certificates, daemon: &Daemon) -> ClientBuilder {
    Client::builder().address(&daemon.address).tls_ca(certificates.path("ca.pem"))
}

fn with_alice(certificates: &Certificates, builder: ClientBuilder) -> ClientBuilder {
    let (cert, key) = (certificates.path("alice.pem"), certificates.path("alice.key"));
    builder.tls_cert(cert).tls_key(key)
}

async fn lead(client: &Client, group: &str) -> Result<bool, Error> {
    let call = client.call("k").group(group).timeout(Duration::from_secs(30));
    Ok(call.run(|_| async { Ok::<_, Infallible>(1) }).await?.led)
}

#[tokio::test]
async fn a_certificate_and_a_token_are_who_asks() {
    let certificates = Certificates::new("who");
    let access = certificates.write("access", RIGHTS);
    let more = ["--tls-client-auth", "optional", "--access-file", access.to_str().unwrap()];
    let daemon = certificates.daemon(&more);
    let alice = with_alice(&certificates, builder(&certificates, &daemon));
    let app = builder(&certificates, &daemon).token_file(certificates.path("token"));
    for who in [alice, app] {
        let client = who.fail_open(true).build().unwrap();
        assert!(lead(&client, "open").await.unwrap());
        for (group, code) in [("other", Code::PermissionDenied), ("follow", Code::NotFound)] {
            assert_eq!(lead(&client, group).await.unwrap_err().code(), Some(code), "{group}");
        }
        assert!(
            lead(&client, "open").await.unwrap(),
            "what is refused takes nothing from the rest"
        );
        let denied = client.forget("open", "k", false).await.unwrap_err();
        assert_eq!(denied.code, Code::PermissionDenied);
        client.close().await;
    }
}

#[tokio::test]
async fn who_is_not_known_never_fails_open() {
    let certificates = Certificates::new("unknown");
    let daemon = certificates.daemon(&["--tls-client-auth", "optional"]);
    let wrong = certificates.write("wrong", "guessed");
    let nobody = builder(&certificates, &daemon);
    for who in [nobody.clone(), nobody.token_file(wrong)] {
        let client = who.fail_open(true).build().unwrap();
        for _ in 0..3 {
            let error = lead(&client, "g").await.unwrap_err();
            assert_eq!(error.code(), Some(Code::Unauthenticated), "{error}");
        }
        client.close().await;
    }
}

#[tokio::test]
async fn a_daemon_that_asks_for_a_certificate_is_not_reached_without_one() {
    let certificates = Certificates::new("without");
    let daemon = certificates.daemon(&[]);
    let bare = builder(&certificates, &daemon).connect_timeout(Duration::from_millis(500));
    let client = bare.build().unwrap();
    assert_eq!(lead(&client, "g").await.unwrap_err().code(), Some(Code::Unavailable));
    let client = with_alice(&certificates, builder(&certificates, &daemon)).build().unwrap();
    assert!(lead(&client, "g").await.unwrap());
}

#[tokio::test]
async fn a_token_that_is_taken_out_is_refused_and_another_one_goes_on() {
    let certificates = Certificates::new("rotation");
    let daemon = certificates.daemon(&["--tls-client-auth", "optional"]);
    let token = certificates.path("token");
    let client = builder(&certificates, &daemon).token_file(&token).build().unwrap();
    lead(&client, "g").await.unwrap();
    // Of "other", by sha256sum.
    let digest = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";
    certificates.write("tokens", &format!("app {digest}\n"));
    let refused = async {
        while lead(&client, "g").await.is_ok() {} // the daemon looks twice a second
        lead(&client, "g").await.unwrap_err().code()
    };
    assert_eq!(support::soon(refused).await, Some(Code::Unauthenticated));
    certificates.write("token", "other");
    let goes_on = async {
        while lead(&client, "g").await.is_err() {} // this client looks once a second
    };
    support::soon(goes_on).await;
}
