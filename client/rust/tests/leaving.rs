// SPDX-License-Identifier: Apache-2.0
//! A caller that leaves takes nothing from the others, and no call waits for itself.

mod support;

use std::future::pending;
use std::sync::{mpsc, Arc};
use std::time::Duration;

use bytes::Bytes;
use singleflightd::{Client, Code, Error, Leader};
use support::{soon, Daemon};
use tokio::sync::{oneshot, Barrier};

type Never = std::convert::Infallible;

const LONG: Duration = Duration::from_secs(3600);

/// Tells when it is dropped.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

fn guard() -> (Guard, oneshot::Receiver<()>) {
    let (dropped, gone) = oneshot::channel();
    (Guard(Some(dropped)), gone)
}

async fn nothing(_: Leader) -> Result<Bytes, Never> {
    panic!("somebody else leads")
}

fn code<T: std::fmt::Debug>(end: Result<T, Error>) -> Code {
    end.unwrap_err().code().expect("a status")
}

/// Waits until the leader knows that somebody waits elsewhere.
async fn followed(leader: &Leader) {
    while leader.audience().is_none_or(|audience| audience.followers == 0) {
        leader.audience_changed().await;
    }
}

#[tokio::test]
async fn a_function_goes_on_for_those_who_wait_in_another_process() {
    let daemon = Daemon::start();
    let (here, there) = (daemon.client(), daemon.client());
    let (leads, led) = oneshot::channel();
    let (knows, known) = oneshot::channel();
    let (go, gate) = oneshot::channel::<()>();
    let first =
        tokio::spawn(here.call("k").audience(true).run_bytes(|leader: Leader| async move {
            let _ = leads.send(());
            followed(&leader).await;
            let _ = knows.send(());
            let _ = gate.await;
            assert!(!leader.is_lost());
            Ok::<_, Never>("kept")
        }));
    soon(led).await.unwrap();
    let second = tokio::spawn(there.call("k").run_bytes(nothing));
    soon(known).await.unwrap();
    first.abort();
    assert!(soon(first).await.unwrap_err().is_cancelled());
    drop(here); // which waits for the function, too
    go.send(()).unwrap();
    let flight = soon(second).await.unwrap().unwrap();
    assert_eq!((&flight.value[..], flight.attempt, flight.led), (&b"kept"[..], 1, false));
}

#[tokio::test]
async fn a_function_ends_when_the_last_one_who_waited_elsewhere_leaves() {
    let daemon = Daemon::start();
    let (here, there) = (daemon.client(), daemon.client());
    let (leads, led) = oneshot::channel();
    let (held, gone) = guard();
    let call = here.call("k").audience(true).lease(Duration::from_secs(600));
    let first = tokio::spawn(call.run_bytes(|leader: Leader| async move {
        let _held = held;
        let _ = leads.send(leader.clone());
        pending::<Result<Bytes, Never>>().await
    }));
    let leader = soon(led).await.unwrap();
    let second = tokio::spawn(there.call("k").run_bytes(nothing));
    soon(followed(&leader)).await;
    first.abort();
    assert!(soon(first).await.unwrap_err().is_cancelled());
    assert!(!leader.is_lost());
    second.abort();
    soon(gone).await.unwrap();
    assert!(leader.is_lost());
    // Its lease is given back: nobody waits for it to run out.
    let next = soon(there.call("k").run_bytes(|_| async { Ok::<_, Never>("") })).await.unwrap();
    assert!(next.led && next.token > leader.token());
}

#[tokio::test]
async fn a_merged_caller_gets_what_the_function_of_one_that_left_makes() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let (leads, led) = oneshot::channel();
    let (go, gate) = oneshot::channel::<()>();
    let first = tokio::spawn(client.call("k").run_bytes(|_: Leader| async move {
        let _ = leads.send(());
        let _ = gate.await;
        Ok::<_, Never>("kept")
    }));
    soon(led).await.unwrap();
    let mut second = Box::pin(client.call("k").run_bytes(nothing));
    assert!(polled(&mut second).await.is_none());
    first.abort();
    assert!(soon(first).await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    let flight = soon(second).await.unwrap();
    assert_eq!((&flight.value[..], flight.led), (&b"kept"[..], false));
}

/// Polls once.
async fn polled<F: std::future::Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leaders_deadline_ends_its_waiting_though_its_function_blocks() {
    let daemon = Daemon::start();
    let client = daemon.client();
    for blocks_its_task in [true, false] {
        let (release, blocked) = mpsc::channel::<()>();
        let call = client.call("k").timeout(Duration::from_millis(300));
        let end = if blocks_its_task {
            soon(call.run(move |_| async move { Ok::<_, Never>(blocked.recv().is_ok()) })).await
        } else {
            soon(call.run_blocking(move |_| Ok::<_, Never>(blocked.recv().is_ok()))).await
        };
        assert_eq!(code(end), Code::DeadlineExceeded);
        drop(release);
    }
}

#[tokio::test]
async fn a_blocking_function_runs_beside_and_learns_that_nobody_waits() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let call = client.call("k");
    let flight = soon(call.run_blocking(|leader| {
        leader.write_blocking("[1,").unwrap();
        Ok::<_, Never>(serde_json::json!(2)).map(|two| Raw(two.to_string() + "]"))
    }))
    .await;
    // What was written stands before what was returned, which is JSON of its own.
    assert!(matches!(flight, Err(Error::Codec(_))), "{flight:?}");

    let (leads, led) = mpsc::channel();
    let (told, learnt) = mpsc::channel();
    let call = tokio::spawn(client.call("k").run_blocking(move |leader| {
        leads.send(()).unwrap();
        while leader.write_blocking(vec![b' '; 1000]).is_ok() {}
        told.send(leader.is_lost()).unwrap();
        Ok::<_, Never>(1)
    }));
    tokio::task::spawn_blocking(move || led.recv().unwrap()).await.unwrap();
    call.abort();
    let lost = tokio::task::spawn_blocking(move || learnt.recv_timeout(LONG).unwrap());
    assert!(soon(lost).await.unwrap());
    // A panic is an outcome there, too.
    let end = soon(client.call("p").run_blocking(|_| -> Result<u32, Never> { panic!("no") })).await;
    let Err(Error::Function(error)) = end else { panic!("{end:?}") };
    assert_eq!((error.kind, &*error.message), (singleflightd::Kind::Panic, "no"));
    assert!(error.stack.contains("leaving.rs"), "{}", error.stack);
}

#[derive(serde::Serialize, serde::Deserialize, Debug)]
struct Raw(String);

// ---------------------------------------------------------------------------- calls inside calls

async fn inside(client: Client, key: &'static str) -> Code {
    code(client.call(key).timeout(LONG).run(|_| async { Ok::<_, Never>(1) }).await)
}

#[tokio::test]
async fn a_call_for_the_key_that_its_function_leads_fails_at_once() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let own = client.clone();
    let call = client.call("k").run(|_| async move {
        let plain = inside(own.clone(), "k").await;
        let live = own.call("k").group("default").live(nothing).result().await;
        Ok::<_, Never>(plain == Code::FailedPrecondition && code(live) == plain)
    });
    assert!(soon(call).await.unwrap().value);
    // Outside of it, and after it, the key is a key like any other.
    let own = client.clone();
    let call = client.call("other").run(|_| async move {
        own.call("k").run(|_| async { Ok::<_, Never>(7) }).await.map(|flight| flight.value)
    });
    assert_eq!(soon(call).await.unwrap().value, 7);
}

#[tokio::test]
async fn so_does_one_that_is_nested_deeper_or_in_a_task_of_the_function() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let (a, b) = (client.clone(), client.clone());
    let call = client.call("a").run(|leader: Leader| async move {
        let within = tokio::spawn(leader.inside(inside(a.clone(), "a"))).await.unwrap();
        let nested = a.call("b").run(|_| async move {
            let deeper = inside(b, "a").await;
            Ok::<_, Never>(deeper == Code::FailedPrecondition)
        });
        Ok::<_, Error>(nested.await?.value && within == Code::FailedPrecondition)
    });
    assert!(soon(call).await.unwrap().value);
}

#[tokio::test]
async fn two_functions_that_wait_for_each_other_do_not() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let meet = Arc::new(Barrier::new(2));
    let one = |own: &'static str, other: &'static str| {
        let (meet, inner) = (meet.clone(), client.clone());
        client.call(own).run(move |_| async move {
            meet.wait().await; // both lead
            let end = inner.call(other).run(|_| async { Ok::<_, Never>(None::<i32>) }).await;
            Ok::<_, Never>(end.err().and_then(|error| error.code()).map(|code| code as i32))
        })
    };
    let (a, b) = soon(async { tokio::join!(one("a", "b"), one("b", "a")) }).await;
    let refused = [a.unwrap().value, b.unwrap().value];
    // The call that would have closed the ring; the other one got what its function made then.
    let is_refused = |end: &&Option<i32>| **end == Some(Code::FailedPrecondition as i32);
    assert_eq!(refused.iter().filter(is_refused).count(), 1, "{refused:?}");
}

#[tokio::test]
async fn so_does_one_through_another_client() {
    let daemon = Daemon::start();
    let (client, other) = (daemon.client(), daemon.client());
    let call = client.call("k").run(|_| async move {
        Ok::<_, Never>(inside(other, "k").await == Code::FailedPrecondition)
    });
    assert!(soon(call).await.unwrap().value);
}

#[tokio::test]
async fn a_key_that_its_function_has_forgotten_may_be_called_again() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let own = client.clone();
    let call = client.call("k").run(|_| async move {
        own.forget("", "k", false).await?;
        let again = own.call("k").run(|_| async { Ok::<_, Never>(2) }).await?;
        Ok::<_, Error>(again.value)
    });
    assert_eq!(soon(call).await.unwrap().value, 2);
}

#[tokio::test]
async fn a_function_that_runs_alone_does_not_wait_for_itself_either() {
    let client = Client::builder().address(support::closed()).fail_open(true).build().unwrap();
    let own = client.clone();
    let call =
        client.call("k").run(|_| async move { Ok::<_, Never>(inside(own, "k").await as i32) });
    assert_eq!(soon(call).await.unwrap().value, Code::FailedPrecondition as i32);
}
