// SPDX-License-Identifier: Apache-2.0
//! What goes over the wire, with servers of both editions.

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::Serialize;
use tokio::sync::oneshot;

use super::fake::{soon, Fake, Session};
use crate::pb::singleflight as pb;
use crate::{Client, Code, Codec, Error, Json, Leader, LeaderLoss};
use pb::call_request::Step;
use pb::call_response::Step as Answer;

type Ended = Result<crate::Flight<u32>, Error>;

fn client(fake: &Fake) -> Client {
    Client::builder().address(&fake.address).build().unwrap()
}

fn lead(lease_ms: u64, silence_ms: u64) -> Answer {
    Answer::Lead(pb::Lead { token: 7, attempt: 1, lease_ms, silence_ms, ..Default::default() })
}

/// A call whose function tells that it has begun, and ends when it is told to.
fn held(
    client: &Client,
) -> (tokio::task::JoinHandle<Ended>, oneshot::Receiver<Leader>, oneshot::Sender<()>) {
    let (begins, begun) = oneshot::channel();
    let (go, gate) = oneshot::channel();
    let call = client.call("k").lease(Duration::from_secs(1)).run(|leader| async move {
        let _ = begins.send(leader);
        let _ = gate.await;
        Ok::<_, Infallible>(1)
    });
    (tokio::spawn(call), begun, go)
}

/// Reads until this client says what the test does not answer.
async fn is_deaf(session: &mut Session) {
    loop {
        session.hears().await;
    }
}

#[tokio::test]
async fn an_old_server_answers_no_renewal_and_the_lead_holds() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(1000, 0));
    let leader = soon(begun).await.unwrap();
    for _ in 0..6 {
        assert_eq!(session.hears_renewal().await, 0);
        assert!(!leader.is_lost());
    }
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    session.confirms(id, finish);
    assert_eq!(soon(call).await.unwrap().unwrap().value, 1);
}

#[tokio::test]
async fn a_server_that_answers_is_asked_every_third_and_with_ids_that_grow() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, go) = held(&client);
    let mut session = fake.session().await;
    let (id, join) = session.hears_join().await;
    assert!(join.detach && join.audience);
    session.says(id, lead(0, 600)); // without a lease, too
    let leader = soon(begun).await.unwrap();
    for renewal in 1..=6 {
        assert_eq!(session.hears_renewal().await, renewal);
        session.renewed(id, renewal);
        assert!(!leader.is_lost());
    }
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    session.confirms(id, finish);
    assert_eq!(soon(call).await.unwrap().unwrap().value, 1);
}

#[tokio::test]
async fn the_lead_is_lost_so_long_after_the_sending_of_the_last_answered_renewal() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, _go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(1000, 900));
    let leader = soon(begun).await.unwrap();
    assert_eq!(session.hears_renewal().await, 1);
    session.renewed(id, 1);
    let answered = Instant::now(); // it was sent before
    tokio::select! {
        () = is_deaf(&mut session) => unreachable!("it reads on"),
        () = soon(leader.lost()) => {}
    }
    // Generous, for a machine that has other things to do.
    assert!(answered.elapsed() < Duration::from_millis(1900), "{:?}", answered.elapsed());
    assert!(leader.is_lost());
    assert_eq!(soon(call).await.unwrap().unwrap_err().code(), Some(Code::Aborted));
    // A connection that was silent for so long takes nothing new.
    let _next = held(&client);
    fake.session().await.hears_join().await;
}

#[tokio::test]
async fn a_follower_that_is_promoted_asks_before_its_function_begins() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, mut begun, go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, Answer::Follow(pb::Follow { attempt: 1, ..Default::default() }));
    // Longer than the lead that it gets then would hold.
    tokio::time::sleep(Duration::from_millis(400)).await; // poll: only time does it
    session.says(id, lead(1000, 300));
    assert_eq!(session.hears_renewal().await, 1);
    assert!(begun.try_recv().is_err());
    session.renewed(id, 1);
    soon(begun).await.unwrap();
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    session.confirms(id, finish);
    soon(call).await.unwrap().unwrap();
}

#[tokio::test]
async fn when_the_first_of_merged_callers_leaves_meanwhile_the_next_ones_function_begins() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (first, mut begun, _go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, Answer::Follow(pb::Follow { attempt: 1, ..Default::default() }));
    let (second, other_begun, other_go) = held(&client);
    tokio::time::sleep(Duration::from_millis(400)).await; // poll: only time does it
    session.says(id, lead(1000, 300));
    let renewal = session.hears_renewal().await;
    first.abort();
    assert!(soon(first).await.unwrap_err().is_cancelled());
    session.renewed(id, renewal);
    soon(other_begun).await.unwrap();
    assert!(begun.try_recv().is_err());
    other_go.send(()).unwrap();
    let finish = session.hears_finish().await;
    session.confirms(id, finish);
    assert!(soon(second).await.unwrap().unwrap().led);
}

#[tokio::test]
async fn a_lead_that_is_refused_before_its_function_begins_is_asked_for_again() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, mut begun, go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, Answer::Follow(pb::Follow { attempt: 1, ..Default::default() }));
    tokio::time::sleep(Duration::from_millis(400)).await; // poll: only time does it
    session.says(id, lead(1000, 300));
    assert_eq!(session.hears_renewal().await, 1);
    let fenced = pb::End { code: Code::Aborted.into(), message: "fenced".into() };
    session.says(id, Answer::End(fenced));
    let (again, join) = session.hears_join().await;
    assert!(again > id && join.resume_token == 0 && begun.try_recv().is_err());
    session.says(again, lead(0, 60_000));
    soon(begun).await.unwrap();
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    session.confirms(again, finish);
    soon(call).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_resume_counts_from_its_own_sending() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(60_000, 60_000));
    let leader = soon(begun).await.unwrap();
    drop(session); // the server has gone, and comes again
    let mut session = fake.session().await;
    let (id, join) = session.hears_join().await;
    assert_eq!(join.resume_token, 7);
    session.says(id, lead(60_000, 900));
    assert_eq!(session.hears_renewal().await, 1);
    session.renewed(id, 1);
    assert!(!leader.is_lost());
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    session.confirms(id, finish);
    soon(call).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_outcome_of_a_flight_may_be_another_than_its_leaders() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(0, 60_000));
    soon(begun).await.unwrap();
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    let outcome = pb::Outcome {
        kind: pb::OutcomeKind::Error.into(),
        code: 8,
        r#type: "singleflight.LimitExceeded".into(),
        message: "too large".into(),
        ..Default::default()
    };
    session.confirms(id, pb::Finish { outcome: Some(outcome), ..finish });
    let Err(Error::Function(error)) = soon(call).await.unwrap() else { panic!("no error") };
    assert_eq!((error.code, &*error.message, error.facts.led), (8, "too large", true));
}

#[tokio::test]
async fn options_of_the_second_edition_travel() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let own = client.clone();
    let outer = client.call("outer").group("g").run(|_| async move {
        let inner = own.call("inner").fresh(true).retain_from_lead(true);
        let inner = inner.retain(Duration::from_secs(3600)).on_leader_loss(LeaderLoss::Hold);
        inner.run(|_| pending::<Result<u32, Infallible>>()).await.map(|flight| flight.value)
    });
    let _outer = tokio::spawn(outer);
    let mut session = fake.session().await;
    let (id, join) = session.hears_join().await;
    assert!(!join.fresh && !join.retain_from_lead && join.within.is_empty());
    session.says(id, lead(0, 60_000));
    let (_, join) = session.hears_join().await;
    assert!(join.fresh && join.retain_from_lead);
    assert_eq!(join.on_leader_loss(), pb::LeaderLoss::Hold);
    let within = pb::LeadRef { group: "g".into(), key: "outer".into(), token: 7 };
    assert_eq!(join.within, [within]);
}

#[tokio::test]
async fn a_lead_is_given_back_when_nobody_waits() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, _go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(60_000, 60_000));
    let leader = soon(begun).await.unwrap();
    let audience = |followers| Answer::Audience(pb::Audience { followers, latest_deadline_ms: 0 });
    session.says(id, audience(1));
    // What is answered shows that the audience was heard.
    let second = client.call("second").run(|_| async { Ok::<_, Infallible>(1) });
    let second = tokio::spawn(second);
    let (other, _) = session.hears_join().await;
    session.says(other, lead(0, 60_000));
    let finish = session.hears_finish().await;
    session.confirms(other, finish);
    soon(second).await.unwrap().unwrap();
    call.abort();
    assert!(soon(call).await.unwrap_err().is_cancelled());
    assert!(!leader.is_lost());
    session.says(id, audience(0));
    let finish = session.hears_finish().await;
    assert!(finish.pass_on && leader.is_lost());
    // That is no outcome of the work.
    assert_eq!(finish.retention, Some(pb::Retention { retain_ms: 0 }));
    assert!(matches!(finish.outcome.unwrap().kind(), pb::OutcomeKind::Abandoned));
}

#[tokio::test]
async fn without_a_lease_it_is_given_back_by_a_cancel() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, _go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(0, 60_000));
    soon(begun).await.unwrap();
    call.abort();
    assert!(matches!(session.hears().await, (told, Step::Cancel(_)) if told == id));
}

#[tokio::test]
async fn who_was_paused_hears_that_it_is_lost_and_leads_again_when_the_server_says_so() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (asks, asked) = oneshot::channel();
    let (go, gate) = oneshot::channel::<()>();
    let call = client.call("k").run(|leader: Leader| async move {
        assert!(!leader.is_lost());
        std::thread::sleep(Duration::from_millis(1200)); // nothing of this process runs
        let _ = asks.send((leader.is_lost(), leader.clone()));
        let _ = gate.await;
        Ok::<_, Infallible>(1)
    });
    let call = tokio::spawn(call);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(0, 600));
    let (was_lost, leader) = soon(asked).await.unwrap();
    assert!(was_lost);
    let renewal = session.hears_renewal().await;
    session.renewed(id, renewal);
    // The answer to the next one shows that this one was heard.
    let renewal = session.hears_renewal().await;
    session.renewed(id, renewal);
    assert!(!leader.is_lost());
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    session.confirms(id, finish);
    assert_eq!(soon(call).await.unwrap().unwrap().value, 1);
}

#[tokio::test]
async fn with_an_old_server_a_pause_beyond_the_lease_has_lost_it() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (asks, asked) = oneshot::channel();
    let call = client.call("k").lease(Duration::from_secs(1)).run(|leader: Leader| async move {
        std::thread::sleep(Duration::from_millis(1200));
        let _ = asks.send(leader.is_lost());
        pending::<Result<u32, Infallible>>().await
    });
    let call = tokio::spawn(call);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(1000, 0));
    assert!(soon(asked).await.unwrap());
    assert_eq!(soon(call).await.unwrap().unwrap_err().code(), Some(Code::Aborted));
}

#[tokio::test]
async fn a_value_over_the_servers_limit_is_not_sent_in_vain() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let call = client.call("k").run_bytes(|_| async { Ok::<_, Infallible>(vec![0; 1001]) });
    let call = tokio::spawn(call);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    let limited = pb::Lead { token: 7, attempt: 1, result_limit: 1000, ..Default::default() };
    session.says(id, Answer::Lead(limited));
    let finish = session.hears_finish().await;
    let outcome = finish.outcome.as_ref().unwrap();
    assert_eq!((outcome.value.len(), outcome.code), (0, 8));
    assert!(outcome.message.contains("1000"), "{}", outcome.message);
    session.confirms(id, finish);
    let Err(Error::Function(error)) = soon(call).await.unwrap() else { panic!("no error") };
    assert_eq!(error.type_name, "singleflight.LimitExceeded");
}

#[tokio::test]
async fn an_outcome_that_is_on_its_way_is_waited_for_however_long_it_takes() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(1000, 300));
    soon(begun).await.unwrap();
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    // A server whose disk is slow; nothing comes after a finish.
    let silent = tokio::time::timeout(Duration::from_millis(1200), session.hears()).await;
    assert!(silent.is_err(), "{silent:?}");
    session.confirms(id, finish);
    assert_eq!(soon(call).await.unwrap().unwrap().value, 1);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_function_begins_is_no_end() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let (call, begun, go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, Answer::Follow(pb::Follow { attempt: 1, ..Default::default() }));
    tokio::time::sleep(Duration::from_millis(400)).await; // poll: only time does it
    session.says(id, lead(60_000, 300));
    session.hears_renewal().await;
    drop(session);
    let mut session = fake.session().await;
    let (id, join) = session.hears_join().await;
    assert_eq!(join.resume_token, 7);
    session.says(id, lead(60_000, 60_000));
    soon(begun).await.unwrap();
    go.send(()).unwrap();
    let finish = session.hears_finish().await;
    session.confirms(id, finish);
    soon(call).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_leader_that_is_to_resume_has_several_tries_before_its_lead_is_over() {
    let mut fake = Fake::start().await;
    let pause = Duration::from_secs(600);
    let client = Client::builder().address(&fake.address).backoff(pause, pause).build().unwrap();
    let (_call, begun, _go) = held(&client);
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(4000, 4000));
    let leader = soon(begun).await.unwrap();
    drop(session);
    assert_eq!(fake.session().await.hears_join().await.1.resume_token, 7);
    assert!(!leader.is_lost());
}

/// What a leader hears that resumes when its outcome is retained already.
fn own(value_bytes: u64) -> Answer {
    Answer::Result(pb::Result {
        outcome: Some(pb::Outcome { kind: pb::OutcomeKind::Ok.into(), ..Default::default() }),
        led: true,
        retained: true,
        age_ms: 50,
        callers: 1,
        attempt: 1,
        token: 7,
        value_bytes,
        ..Default::default()
    })
}

#[tokio::test]
async fn the_leaders_own_outcome_is_never_stale() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let hour = Duration::from_secs(3600);
    let call = client.call("k").lease(hour / 60).retain(hour).stale(hour);
    let call = tokio::spawn(call.run(|_| async { Ok::<_, Infallible>(1_u32) }));
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(60_000, 0));
    session.hears_finish().await;
    session.says(id, own(1));
    let flight = soon(call).await.unwrap().unwrap();
    assert_eq!((flight.value, flight.led, flight.stale), (1, true, false));
    assert!(tokio::time::timeout(Duration::from_millis(100), session.hears()).await.is_err());
}

/// Encodes, and decodes nothing.
#[derive(Clone)]
struct Mute;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Codec for Mute {
    type Error = BoxError;

    fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, BoxError> {
        Json.encode(value)
    }

    fn decode<T: DeserializeOwned>(&self, _: &[u8]) -> Result<T, BoxError> {
        Err("it has another form".into())
    }
}

#[tokio::test]
async fn a_leader_that_cannot_decode_its_own_outcome_runs_once() {
    let mut fake = Fake::start().await;
    let client = client(&fake);
    let call = client.call("k").lease(Duration::from_secs(60)).retain(Duration::from_secs(60));
    let call = tokio::spawn(call.codec(Mute).run(|_| async { Ok::<_, Infallible>(1_u32) }));
    let mut session = fake.session().await;
    let (id, _) = session.hears_join().await;
    session.says(id, lead(60_000, 0));
    session.hears_finish().await;
    session.says(id, own(1));
    assert!(matches!(soon(call).await.unwrap(), Err(Error::Codec(_))));
}
