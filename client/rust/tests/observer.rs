// SPDX-License-Identifier: Apache-2.0
//! What an observer and the log are told.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use singleflightd::test::Fake;
use singleflightd::{CallEvent, CallEventKind, Client, Code};
use tokio::sync::oneshot;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Events = Arc<Mutex<Vec<CallEvent>>>;

fn watched() -> (Fake, Events) {
    let events = Events::default();
    let noted = events.clone();
    let observer = move |event: &CallEvent| noted.lock().unwrap().push(event.clone());
    (Fake::with(Client::builder().fail_open(true).observer(observer)), events)
}

/// The events in short: kinds, and role, status and outcome of what has ended.
fn story(events: &Events) -> String {
    let words = events.lock().unwrap().iter().map(word).collect::<Vec<_>>();
    words.join(" ")
}

fn word(event: &CallEvent) -> String {
    match event.kind {
        CallEventKind::Ended => format!("ended({},{},{})", event.role, event.status, event.outcome),
        kind => kind.name().to_owned(),
    }
}

async fn panics() -> Result<u8, Infallible> {
    panic!("oh")
}

async fn one(fake: &Fake) {
    let _ = fake.client().call("k").run(|_| async { Ok::<_, Infallible>(1) }).await;
}

#[tokio::test]
async fn a_leader_leads_and_ends() {
    let (fake, events) = watched();
    one(&fake).await;
    assert_eq!(story(&events), "led ended(leader,OK,ok)");
    let ended = events.lock().unwrap()[1].clone();
    assert_eq!((ended.attempt, ended.token, ended.callers), (1, 1, 1));
    assert!(ended.duration > Duration::ZERO && ended.group == "default" && ended.key == "k");
}

#[tokio::test]
async fn an_error_and_a_panic_are_outcomes() {
    let (fake, events) = watched();
    let _ = fake.client().call("k").run(|_| async { Err::<u8, _>("no") }).await;
    assert_eq!(story(&events), "led ended(leader,OK,error)");
    events.lock().unwrap().clear();
    let _ = fake.client().call("k").run(|_| panics()).await;
    assert_eq!(story(&events), "led ended(leader,OK,panic)");
}

#[tokio::test]
async fn a_follower_follows_and_may_take_over() {
    let (fake, events) = watched();
    fake.outcome("k", &1);
    one(&fake).await;
    assert_eq!(story(&events), "followed ended(follower,OK,ok)");
    events.lock().unwrap().clear();
    fake.takeover("k");
    one(&fake).await;
    assert_eq!(story(&events), "followed takeover led ended(leader,OK,ok)");
    assert_eq!(events.lock().unwrap().iter().map(|e| e.attempt).collect::<Vec<_>>(), [1, 2, 2, 2]);
}

#[tokio::test]
async fn a_loss_and_a_refusal_are_told() {
    let (fake, events) = watched();
    fake.lose("k");
    let _ = fake.client().call("k").run(|_| pending::<Result<u8, Infallible>>()).await;
    assert_eq!(story(&events), "led lost ended(leader,ABORTED,)");
    events.lock().unwrap().clear();
    fake.refusal("k", Code::PermissionDenied, "no");
    one(&fake).await;
    assert_eq!(story(&events), "ended(follower,PERMISSION_DENIED,)");
}

#[tokio::test]
async fn failing_open_is_told() {
    let (fake, events) = watched();
    fake.unavailable();
    one(&fake).await;
    assert_eq!(story(&events), "failed_open ended(alone,OK,ok)");
    let (fake, events) = watched();
    let fake = Arc::new(fake);
    let own = fake.clone();
    let call = fake.client().call("k").run(|leader| async move {
        own.unavailable();
        leader.lost().await; // it is not, and goes on alone
        Ok::<_, Infallible>(1)
    });
    let told = events.clone();
    tokio::select! {
        _ = call => unreachable!("it is not lost"),
        () = until(|| story(&told) == "led failed_open") => {}
    }
    tokio::task::yield_now().await; // the call has been dropped
    assert_eq!(story(&events), "led failed_open ended(alone,CANCELLED,)");
}

async fn until(holds: impl Fn() -> bool) {
    // poll: an observer cannot be waited for
    while !holds() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn merged_calls_follow_the_one_that_leads() {
    let (fake, events) = watched();
    let (begins, begun) = oneshot::channel();
    let (go, gate) = oneshot::channel::<()>();
    let first = tokio::spawn(fake.client().call("k").run(|_| async move {
        let _ = begins.send(());
        let _ = gate.await;
        Ok::<_, Infallible>(1)
    }));
    begun.await.unwrap();
    let second =
        tokio::spawn(fake.client().call("k").run(|_| pending::<Result<i32, Infallible>>()));
    let told = events.clone();
    until(|| story(&told) == "led followed").await;
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let story = story(&events);
    assert!(story.contains("ended(leader,OK,ok)") && story.contains("ended(follower,OK,ok)"));
}

#[tokio::test]
async fn a_call_that_is_dropped_has_ended() {
    let (fake, events) = watched();
    let call = fake.client().call("k").run(|_| pending::<Result<u8, Infallible>>());
    let told = events.clone();
    tokio::select! {
        _ = call => unreachable!("it has no end"),
        () = until(|| story(&told) == "led") => {}
    }
    until(|| story(&events).ends_with("ended(leader,CANCELLED,)")).await;
}

#[tokio::test]
async fn misuse_is_no_call() {
    let (fake, events) = watched();
    let _ = fake.client().call("").run(|_| async { Ok::<_, Infallible>(1) }).await;
    assert_eq!(story(&events), "");
}

#[tokio::test]
async fn what_an_observer_panics_with_changes_nothing() {
    let fake = Fake::with(Client::builder().observer(|_: &CallEvent| panic!("oh")));
    let call = fake.client().call("k").run(|_| async { Ok::<_, Infallible>(1) });
    assert_eq!(call.await.unwrap().value, 1);
}

#[tokio::test]
async fn the_server_is_told_the_trace_of_a_call() {
    for (given, expected) in [
        (Some(TRACEPARENT.to_owned()), TRACEPARENT),
        (Some(format!("{TRACEPARENT}-more")), ""), // has letters that are no hex digits
        (Some(String::new()), ""),
        (None, ""),
    ] {
        let fake = Fake::with(Client::builder().traceparent(move || given.clone()));
        one(&fake).await;
        assert_eq!(fake.joins()[0].traceparent, expected);
    }
}

/// Takes every event of the target down, as a line.
struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "singleflightd"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{}={value:?} ", field.name());
            }
        }
        let mut line = Line(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn the_log_tells_the_same_at_debug_level() {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let _here = tracing::subscriber::set_default(Lines(lines.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fake = Fake::new();
        fake.outcome("k", &1);
        one(&fake).await;
    });
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for part in
        ["DEBUG ", "message=followed", "group=\"default\"", "key=k ", "attempt=1", "token=0"]
    {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    for part in ["message=ended", "role=\"follower\"", "status=\"OK\"", "outcome=\"ok\""] {
        assert!(lines[1].contains(part), "{part}: {}", lines[1]);
    }
}
