// SPDX-License-Identifier: Apache-2.0
//! The client against a real daemon. tests/conformance plays every promise of the contract with
//! all languages; here is what only Rust has, and what needs a look inside.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use singleflightd::{Client, Code, Error, Event, Kind, Leader, Role, StatusError};
use support::{soon, Daemon};
use tokio::sync::{oneshot, Notify};

type Never = std::convert::Infallible;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    tags: Vec<String>,
}

/// A function that tells when it leads, and waits until it is let go.
fn held(value: &'static str) -> (impl FnOnce(Leader) -> Held, oneshot::Receiver<u64>, Arc<Notify>) {
    let (leads, told) = oneshot::channel();
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let function = move |leader: Leader| -> Held {
        Box::pin(async move {
            let _ = leads.send(leader.token());
            gate.notified().await;
            Ok(Bytes::from(value))
        })
    };
    (function, told, go)
}

type Held = std::pin::Pin<Box<dyn std::future::Future<Output = Result<Bytes, Never>> + Send>>;

#[tokio::test]
async fn typed_values_reach_leader_and_follower() {
    let daemon = Daemon::start();
    let (leader, follower) = (daemon.client(), daemon.client());
    let profile = Profile { name: "Ann".into(), tags: vec!["a".into(), "b".into()] };
    let made = profile.clone();
    let retain = Duration::from_secs(60);
    let call = leader.call("user:1").retain(retain);
    let led = soon(call.run(|_| async { Ok::<_, Never>(made) })).await.unwrap();
    assert!(led.led && led.token > 0 && led.retain > Duration::ZERO);
    assert_eq!(led.value, profile);
    let call = follower.call("user:1");
    let late = soon(call.run(|_| async { Err::<Profile, _>("nobody runs this") })).await.unwrap();
    assert!(late.retained && !late.led);
    assert_eq!(late.value, profile);
}

#[derive(Debug)]
struct NoSuchUser(u64);

impl std::fmt::Display for NoSuchUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no user {}", self.0)
    }
}

impl std::error::Error for NoSuchUser {}

#[tokio::test]
async fn the_leaders_own_error_keeps_its_identity() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let end = soon(client.call("k").run(|_| async { Err::<(), _>(NoSuchUser(7)) })).await;
    let Err(Error::Function(error)) = end else { panic!("{end:?}") };
    assert_eq!((error.kind, error.message.as_str()), (Kind::Error, "no user 7"));
    assert!(error.type_name.ends_with("NoSuchUser"), "{}", error.type_name);
    let original = error.original().and_then(|source| source.downcast_ref::<NoSuchUser>());
    assert_eq!(original.map(|error| error.0), Some(7));
}

#[tokio::test]
async fn a_panic_is_an_error_of_everybody_with_message_and_stack() {
    let daemon = Daemon::start();
    let (leader, follower) = (daemon.client(), daemon.client());
    let (leads, told) = oneshot::channel();
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let led = tokio::spawn(leader.call("k").run_bytes(|_| async move {
        let _ = leads.send(());
        breaks(gate).await
    }));
    soon(told).await.unwrap();
    let mut live = follower.call("k").live(|_| async { Ok::<_, Never>("") });
    assert!(matches!(soon(live.next()).await, Some(Event::Follow { .. })));
    go.notify_one();
    for end in [soon(live.result()).await, soon(led).await.unwrap()] {
        let Err(Error::Function(error)) = end else { panic!("{end:?}") };
        assert_eq!((error.kind, error.message.as_str()), (Kind::Panic, "it broke"));
        assert!(error.stack.contains("live.rs"), "{}", error.stack);
    }
}

async fn breaks(gate: Arc<Notify>) -> Result<Bytes, Never> {
    gate.notified().await;
    panic!("it broke")
}

#[tokio::test]
async fn a_thousand_calls_of_one_client_are_one_execution() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let runs = Arc::new(AtomicU32::new(0));
    let gate = Arc::new(Notify::new());
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let (runs, gate) = (runs.clone(), gate.clone());
            let call = client.call("k").run(move |_| async move {
                runs.fetch_add(1, Ordering::Relaxed);
                gate.notified().await;
                Ok::<_, Never>(1u32)
            });
            tokio::spawn(call)
        })
        .collect();
    // All tasks have been polled once they had their turn; the function waits.
    while runs.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    let mut led = 0;
    for call in calls {
        let flight = soon(call).await.unwrap().unwrap();
        assert_eq!((flight.callers, flight.shared), (1000, true));
        led += u32::from(flight.led);
    }
    assert_eq!((led, runs.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test]
async fn dropping_the_last_future_drops_the_function_and_the_next_caller_leads() {
    struct Guard(Option<oneshot::Sender<()>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }
    let daemon = Daemon::start();
    let client = daemon.client();
    let (leads, told) = oneshot::channel();
    let (dropped, gone) = oneshot::channel();
    let first = tokio::spawn(client.call("k").run_bytes(|leader: Leader| async move {
        let _guard = Guard(Some(dropped));
        let _ = leads.send(leader.token());
        std::future::pending::<Result<Bytes, Never>>().await
    }));
    let token = soon(told).await.unwrap();
    first.abort();
    soon(gone).await.unwrap();
    let next =
        soon(client.call("k").run_bytes(|_| async { Ok::<_, Never>("next") })).await.unwrap();
    assert!(next.led && next.token > token);
}

#[tokio::test]
async fn one_merged_caller_that_leaves_takes_nothing_from_the_others() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let (function, told, go) = held("kept");
    let first =
        tokio::spawn(client.call("k").timeout(Duration::from_millis(300)).run_bytes(function));
    soon(told).await.unwrap();
    let second = tokio::spawn(
        client
            .call("k")
            .timeout(Duration::from_millis(400))
            .run_bytes(|_| async { Ok::<_, Never>("") }),
    );
    let end = soon(first).await.unwrap();
    // Its function runs on for the one that still waits; the deadline is its own.
    assert_eq!(end.unwrap_err().code(), Some(Code::DeadlineExceeded));
    go.notify_one();
    let flight = soon(second).await.unwrap();
    match flight {
        Ok(flight) => assert_eq!(&flight.value[..], b"kept"),
        Err(error) => assert_eq!(error.code(), Some(Code::DeadlineExceeded)), // a slow machine
    }
}

#[tokio::test]
async fn the_server_is_told_a_later_deadline_so_that_a_lease_is_given_back_in_time() {
    let daemon = Daemon::start();
    let (here, there) = (daemon.client(), daemon.client());
    let (leads, told) = oneshot::channel();
    let (knows, learnt) = oneshot::channel();
    let first =
        tokio::spawn(here.call("k").audience(true).run_bytes(|leader: Leader| async move {
            let _ = leads.send(());
            while leader.audience().is_none() {
                leader.audience_changed().await;
            }
            let _ = knows.send(leader.audience().unwrap().latest_deadline.unwrap());
            Ok::<_, Never>("value")
        }));
    soon(told).await.unwrap();
    let second = there
        .call("k")
        .lease(Duration::from_secs(600))
        .timeout(Duration::from_secs(60))
        .local_merge(false)
        .run_bytes(|_| async { Ok::<_, Never>("") });
    assert!(!soon(second).await.unwrap().led);
    let latest = soon(learnt).await.unwrap();
    assert!(latest > Duration::from_secs(65) && latest <= Duration::from_secs(75), "{latest:?}");
    assert!(soon(first).await.unwrap().unwrap().led);
}

#[tokio::test]
async fn live_followers_see_the_value_grow() {
    let daemon = Daemon::start();
    let (leader, follower) = (daemon.client(), daemon.client());
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let (leads, told) = oneshot::channel();
    let led = tokio::spawn(leader.call("k").run_bytes(|leader: Leader| async move {
        let _ = leads.send(());
        leader.write("one ").await?;
        gate.notified().await;
        Ok::<_, StatusError>("two")
    }));
    soon(told).await.unwrap();
    let mut chunks = follower.call("k").role(Role::Any).live(|_| async { Ok::<_, Never>("") });
    let mut seen = Vec::new();
    while let Some(event) = soon(chunks.next()).await {
        if let Event::Chunk(data) = event {
            seen.extend_from_slice(&data);
            go.notify_one();
        }
    }
    let flight = soon(chunks.result()).await.unwrap();
    assert_eq!((&seen[..], &flight.value[..]), (&b"one two"[..], &b"one two"[..]));
    assert!(soon(led).await.unwrap().unwrap().led);
}

#[tokio::test]
async fn a_value_over_the_limit_ends_the_flight_with_an_error_that_names_it() {
    let daemon = Daemon::start();
    let client = daemon.client_with(Client::builder().result_limit(1000));
    let end = soon(client.call("k").run_bytes(|_| async { Ok::<_, Never>(vec![0; 1001]) })).await;
    let Err(Error::Function(error)) = end else { panic!("{end:?}") };
    assert!(error.message.contains("result_limit"), "{}", error.message);
    assert_eq!((error.code, error.type_name.as_str()), (8, "singleflight.LimitExceeded"));
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_unavailable_and_named() {
    let mut daemon = Daemon::start();
    daemon.kill();
    let patience = Duration::from_millis(200);
    let client = daemon.client_with(Client::builder().connect_timeout(patience));
    let end = soon(client.call("k").run(|_| async { Ok::<_, Never>(1) })).await;
    let error = end.unwrap_err();
    assert_eq!(error.code(), Some(Code::Unavailable));
    assert!(error.to_string().contains(&daemon.address), "{error}");
    let open = soon(client.call("k").fail_open(true).run(|_| async { Ok::<_, Never>(1) })).await;
    let open = open.unwrap();
    assert!(open.failed_open && open.led && open.token == 0);
}

#[tokio::test]
async fn what_is_no_address_is_refused_at_once() {
    for address in [
        "",
        "nowhere",
        "host:",
        "host:0",
        "host:99999",
        "host:+80",
        "host:http",
        ":7433",
        "unix:",
        "two words:1",
        "http://host:7433",
        "host:7433/path",
        "::1:7433",
        "[host]:7433",
        "a@b:1",
    ] {
        let refused = Client::builder().address(address).build().unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{address}");
        assert!(refused.message.contains(address), "{}", refused.message);
    }
    for address in ["host:1", "a-b.example:65535", "[::1]:7433", "10.0.0.1:80", "unix:/a b"] {
        assert!(Client::builder().address(address).build().is_ok(), "{address}");
    }
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let folder = std::env::temp_dir().join(format!("sfl-rust-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("s");
    let daemon = Daemon::start_with(&["--unix-socket", socket.to_str().unwrap()]);
    let client = Client::builder().address(format!("unix:{}", socket.display())).build().unwrap();
    let flight = soon(client.call("k").run(|_| async { Ok::<_, Never>(1) })).await.unwrap();
    assert!(flight.led && !flight.failed_open);
    drop(daemon);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_closed_client_ends_its_calls_and_takes_no_new_ones() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let (function, told, _go) = held("");
    let call = tokio::spawn(client.call("k").run_bytes(function));
    soon(told).await.unwrap();
    soon(client.close()).await;
    soon(client.close()).await;
    assert_eq!(soon(call).await.unwrap().unwrap_err().code(), Some(Code::Cancelled));
    let late = soon(client.call("k").run(|_| async { Ok::<_, Never>(1) })).await;
    assert_eq!(late.unwrap_err().code(), Some(Code::Cancelled));
}

#[tokio::test]
async fn forget_lets_the_next_caller_start_anew() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let (function, told, go) = held("old");
    let old = tokio::spawn(client.call("k").run_bytes(function));
    let token = soon(told).await.unwrap();
    let forgotten = soon(client.forget("", "k", false)).await.unwrap();
    assert!(forgotten.flight && !forgotten.retained);
    let new = soon(client.call("k").run_bytes(|_| async { Ok::<_, Never>("new") })).await.unwrap();
    assert!(new.led && new.token > token);
    go.notify_one();
    assert_eq!(&soon(old).await.unwrap().unwrap().value[..], b"old");
}
