// SPDX-License-Identifier: Apache-2.0
//! What the fake promises to users' unit tests.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use singleflightd::test::{Fake, Lead, LeadOptions};
use singleflightd::{Client, Code, Error, FunctionError, Kind, LeaderLoss, Role};

async fn token(client: &Client) -> Result<u64, Error> {
    let call = client.call("k").run(|leader| async move { Ok::<_, Infallible>(leader.token()) });
    Ok(call.await?.value)
}

#[tokio::test]
async fn without_a_script_the_function_runs() {
    let fake = Fake::new();
    let (client, minute) = (fake.client(), Duration::from_secs(60));
    for expected in [1, 2] {
        let call = client.call("k").group("g").retain(minute).lease(minute);
        let flight = call.run(|l| async move { Ok::<_, Infallible>(l.token()) }).await.unwrap();
        assert_eq!((flight.value, flight.led, flight.callers), (expected, true, 1));
    }
    let (calls, joins) = (fake.calls(), fake.joins());
    assert_eq!((calls.len(), &*calls[0].group, &*calls[1].key), (2, "g", &b"k"[..]));
    assert_eq!((calls[0].role, calls[0].status, calls[0].outcome), ("leader", "OK", "ok"));
    assert_eq!((joins.len(), joins[1].retain, joins[1].lease), (2, minute, minute));
}

#[tokio::test]
async fn an_outcome_is_followed() {
    let fake = Fake::new();
    fake.outcome("k", &7);
    let client = fake.client();
    let flight = client.call("k").run(|_| pending::<Result<u64, Infallible>>()).await.unwrap();
    assert_eq!((flight.value, flight.led, flight.callers), (7, false, 2));
    assert_eq!(client.call("k").follow::<u64>().await.unwrap().value, 7);
    let call = client.call("k").role(Role::LeadOnly);
    let error = call.run(|_| pending::<Result<u64, Infallible>>()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Aborted));
}

#[tokio::test]
async fn bytes_of_any_size_are_taken_as_they_are() {
    let fake = Fake::new();
    let value = b"0123456789".repeat(100_000);
    fake.outcome_bytes("k", value.clone());
    let flight = fake.client().call("k").follow_bytes().await.unwrap();
    assert!(flight.value == value);
}

#[tokio::test]
async fn a_failure_and_a_refusal_are_what_callers_get() {
    let fake = Fake::new();
    fake.failure("k", FunctionError::new("no").with_code(3).with_type("E"));
    let Err(Error::Function(error)) = token(&fake.client()).await else { panic!("no error") };
    assert_eq!(
        (error.kind, &*error.message, error.code, &*error.type_name),
        (Kind::Error, "no", 3, "E")
    );
    fake.refusal("k", Code::PermissionDenied, "not you");
    let error = token(&fake.client()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::PermissionDenied));
    assert!(error.to_string().contains("not you"), "{error}");
}

#[tokio::test]
async fn nobody_follows_what_is_not_scripted() {
    let error = Fake::new().client().call("k").follow::<u64>().await.unwrap_err();
    assert_eq!(error.code(), Some(Code::NotFound));
}

#[tokio::test]
async fn a_takeover_follows_and_then_leads() {
    let fake = Fake::new();
    fake.takeover("k");
    let call = fake.client().call("k");
    let flight = call.run(|l| async move { Ok::<_, Infallible>(l.attempt()) }).await.unwrap();
    assert_eq!((flight.value, flight.attempt, flight.led), (2, 2, true));
}

#[tokio::test]
async fn a_loss_ends_the_call() {
    let fake = Fake::new();
    fake.lose("k");
    let call = fake.client().call("k").on_leader_loss(LeaderLoss::Fail);
    let error = call.run(|_| pending::<Result<u64, Infallible>>()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Aborted), "{error}");
    fake.lead("k");
    token(&fake.client()).await.unwrap();
}

#[tokio::test]
async fn without_a_server_a_call_fails_open_or_ends() {
    let fake = Fake::with(Client::builder().fail_open(true));
    fake.unavailable();
    assert_eq!(token(&fake.client()).await.unwrap(), 0);
    let call = fake.client().call("k").fail_open(false).connect_timeout(Duration::from_millis(1));
    let error = call.run(|_| pending::<Result<u64, Infallible>>()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Unavailable));
    let roles: Vec<_> = fake.calls().iter().map(|call| (call.role, call.status)).collect();
    assert_eq!(roles, [("alone", "OK"), ("follower", "UNAVAILABLE")]);
    fake.available();
    let call = fake.client().call("k").fail_open(false);
    call.run(|_| async { Ok::<_, Infallible>(1) }).await.unwrap();
}

#[tokio::test]
async fn forgets_are_noted() {
    let fake = Fake::new();
    fake.client().forget("g", "k", true).await.unwrap();
    assert_eq!(fake.forgets(), [("g".to_owned(), "k".into())]);
}

#[tokio::test]
async fn a_leader_is_made_by_itself() {
    let options = LeadOptions { group: "g".into(), key: "k".into(), token: 41, attempt: 3 };
    let lead = Lead::new(options).await;
    assert_eq!((lead.leader.token(), lead.leader.attempt()), (41, 3));
    lead.leader.write("page 1").await.unwrap();
    let flight = lead.finish(Ok(())).await.unwrap();
    assert_eq!((&flight.value[..], flight.token), (&b"page 1"[..], 41));
}

#[tokio::test]
async fn a_leader_that_was_made_may_lose_and_fail() {
    let lead = Lead::new(LeadOptions::default()).await;
    assert!(!lead.leader.is_lost());
    lead.lose().await;
    assert!(lead.leader.is_lost());
    assert_eq!(lead.finish(Ok(())).await.unwrap_err().code(), Some(Code::Aborted));
    let lead = Lead::new(LeadOptions::default()).await;
    let error = lead.finish(Err(FunctionError::new("no"))).await.unwrap_err();
    assert!(matches!(error, Error::Function(_)));
}
