// SPDX-License-Identifier: Apache-2.0
//! The client and the runtime that it was made in.

mod support;

use std::future::pending;
use std::net::TcpListener;
use std::time::Duration;

use singleflightd::{Client, Code, Error, Flight, Leader};
use support::{soon, Daemon};
use tokio::runtime::{Builder, Runtime};

type Never = std::convert::Infallible;

fn code_of(end: Result<Flight<u32>, Error>) -> Code {
    match end {
        Err(Error::Status(status)) => status.code,
        other => panic!("{other:?}"),
    }
}

fn threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

async fn stuck(_: Leader) -> Result<u32, Never> {
    pending().await
}

/// A listener that accepts connections and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn every_one_of_a_thousand_clients_keeps_time() {
    let (_listener, address) = silent();
    threads().block_on(async {
        // Threads that are awake begin a new task at once.
        let awake = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let calls = (0..1000).map(|_| {
            // Many addresses take a while to read, in which the task that keeps the time may begin.
            let builder = (0..63).fold(Client::builder(), |builder, _| builder.address(&address));
            let client = builder.build().unwrap();
            tokio::spawn(async move {
                client.call("k").timeout(Duration::from_millis(200)).run(stuck).await
            })
        });
        let calls = calls.collect::<Vec<_>>();
        awake.abort();
        for call in calls {
            assert_eq!(code_of(soon(call).await.unwrap()), Code::DeadlineExceeded);
        }
    });
}

#[test]
fn a_call_on_a_client_whose_runtime_has_ended_ends_at_once() {
    let daemon = Daemon::start();
    let first = threads();
    let client = first.block_on(async { daemon.client() });
    first.block_on(soon(client.call("k").run(|_| async { Ok::<_, Never>(1u32) }))).unwrap();
    drop(first);
    threads().block_on(async {
        let call = client.call("k").timeout(Duration::from_secs(7));
        assert_eq!(code_of(soon(call.run(stuck)).await), Code::Cancelled);
        soon(client.close()).await;
    });
}

#[test]
fn calls_that_wait_when_the_runtime_ends_end_with_it() {
    let daemon = Daemon::start();
    let first = threads();
    let client = first.block_on(async { daemon.client() });
    let (leads, led) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let call = client.call("k").run(move |leader| {
            let _ = leads.send(());
            stuck(leader)
        });
        Builder::new_current_thread().enable_all().build().unwrap().block_on(soon(call))
    });
    led.recv_timeout(Duration::from_secs(30)).unwrap();
    drop(first);
    assert_eq!(code_of(waiting.join().unwrap()), Code::Cancelled);
}

#[test]
fn a_runtime_that_keeps_no_time_ends_calls_with_an_error() {
    let (_listener, address) = silent();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
    let client = {
        let _inside = runtime.enter();
        Client::builder().address(&address).build().unwrap()
    };
    let call = client.call("k").timeout(Duration::from_millis(200));
    let end = threads().block_on(soon(call.run(stuck)));
    assert_eq!(code_of(end), Code::Cancelled);
}

#[test]
fn no_client_is_made_outside_of_a_runtime() {
    let end = Client::builder().address("127.0.0.1:1").build();
    assert_eq!(end.unwrap_err().code, Code::FailedPrecondition);
}
