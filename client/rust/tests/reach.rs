// SPDX-License-Identifier: Apache-2.0
//! Servers that are not there, go, drain or do not answer.

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use singleflightd::{Client, ClientBuilder, Code, Error, Flight, Leader};
use support::relay::Relay;
use support::{closed, soon, Daemon};
use tokio::sync::oneshot;

type Never = std::convert::Infallible;

// "At once" is far below it.
const PATIENCE: Duration = Duration::from_secs(3600);

fn client(addresses: &[&str]) -> ClientBuilder {
    let builder = Client::builder().connect_timeout(PATIENCE);
    addresses.iter().fold(builder, |builder, address| builder.address(*address))
}

async fn one(_: Leader) -> Result<u32, Never> {
    Ok(1)
}

fn code<T: std::fmt::Debug>(end: Result<T, Error>) -> Code {
    end.unwrap_err().code().expect("a status")
}

fn is_alone(flight: &Flight<u32>) -> bool {
    flight.failed_open && flight.led && flight.token == 0 && flight.value == 1
}

// ------------------------------------------------------------------------------ zero times

#[tokio::test]
async fn a_timeout_of_zero_ends_the_call_before_anything_is_run() {
    for address in [closed(), Daemon::start().address.clone()] {
        let client = client(&[&address]).fail_open(true).build().unwrap();
        let call = client.call("k").timeout(Duration::ZERO);
        let end = soon(call.run(|_| async { Err::<u32, _>("it is run") })).await;
        assert_eq!(code(end), Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn a_connect_timeout_of_zero_waits_for_no_connection() {
    let daemon = Daemon::start();
    let client = daemon.client_with(Client::builder().connect_timeout(Duration::ZERO));
    let end = soon(client.call("k").run(one)).await;
    assert_eq!(code(end), Code::Unavailable);
    let open = soon(client.call("k").fail_open(true).run(one)).await.unwrap();
    assert!(is_alone(&open));
    // It has looked meanwhile, and uses the connection that is there.
    loop {
        if let Ok(flight) = soon(client.call("k").run(one)).await {
            assert!(flight.led && !flight.failed_open);
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await; // poll: nobody tells of a connection
    }
}

// --------------------------------------------------------------------------------- refusals

#[tokio::test]
async fn with_fail_open_a_refusal_is_an_answer() {
    for address in [closed(), "unix:/nowhere/at/all".to_owned(), "nowhere.invalid:7433".to_owned()]
    {
        let client = client(&[&address]).fail_open(true).build().unwrap();
        for _ in 0..2 {
            assert!(is_alone(&soon(client.call("k").run(one)).await.unwrap()), "{address}");
        }
    }
}

#[tokio::test]
async fn without_it_the_client_tries_again_until_connect_timeout() {
    let patience = Duration::from_millis(700);
    let client = Client::builder().address(closed()).connect_timeout(patience).build().unwrap();
    for _ in 0..2 {
        let began = Instant::now();
        assert_eq!(code(soon(client.call("k").run(one)).await), Code::Unavailable);
        assert!(began.elapsed() >= patience);
    }
}

#[tokio::test]
async fn a_server_that_comes_in_time_takes_the_call() {
    let mut daemon = Daemon::start();
    let address = daemon.address.clone();
    daemon.kill();
    let client = client(&[&address]).build().unwrap();
    let call = tokio::spawn(client.call("k").run(one));
    tokio::task::yield_now().await;
    let _again = Daemon::start_with(&["--listen", &address]);
    let flight = soon(call).await.unwrap().unwrap();
    assert!(flight.led && !flight.failed_open);
}

#[tokio::test]
async fn of_several_addresses_a_refused_one_costs_nothing() {
    let daemon = Daemon::start();
    let (one_closed, another) = (closed(), closed());
    let client = client(&[&one_closed, &daemon.address, &another]).build().unwrap();
    for key in 0..20u32 {
        let flight = soon(client.call(key.to_string()).run(one)).await.unwrap();
        assert!(flight.led && flight.token > 0);
    }
}

#[tokio::test]
async fn a_home_that_comes_back_has_its_keys_again() {
    let daemon = Daemon::start();
    let mut home = Daemon::start();
    let address = home.address.clone();
    home.kill();
    let client = client(&[&daemon.address, &address]).build().unwrap();
    let alone = client_of(&address);
    let tokens = async |client: &Client| {
        soon(client.call("home").run(one)).await.unwrap();
    };
    tokens(&client).await;
    let _again = Daemon::start_with(&["--listen", &address]);
    // A key whose home is the second one is led there again: it is retained there, then.
    loop {
        for key in 0..8u32 {
            let call = client.call(key.to_string()).retain(Duration::from_secs(60));
            soon(call.run(one)).await.unwrap();
            if soon(alone.call(key.to_string()).follow::<u32>()).await.is_ok() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // poll: nobody tells of a probe
    }
}

fn client_of(address: &str) -> Client {
    client(&[address]).build().unwrap()
}

// ----------------------------------------------------------------------------------- drains

#[tokio::test]
async fn a_drain_is_not_no_server() {
    let daemon = Daemon::start();
    let here = daemon.client();
    let (leads, led) = oneshot::channel();
    let (go, gate) = oneshot::channel::<()>();
    let running = tokio::spawn(here.call("k").run(|_| async move {
        let _ = leads.send(());
        let _ = gate.await;
        Ok::<_, Never>(1)
    }));
    soon(led).await.unwrap();
    daemon.drain();
    let there = daemon.client();
    let patience = Duration::from_millis(700);
    // poll: it has begun to drain when a join is refused
    let end = loop {
        let call = there.call("other").fail_open(true).connect_timeout(patience);
        match soon(call.run(|_| async { Ok::<_, Never>(2) })).await {
            Ok(flight) if !flight.failed_open => {}
            end => break end,
        }
    };
    assert_eq!(code(end), Code::Unavailable);
    go.send(()).unwrap();
    assert_eq!(soon(running).await.unwrap().unwrap().value, 1);
}

#[tokio::test]
async fn when_one_server_drains_another_takes_the_call_at_once() {
    let (drains, stays) = (Daemon::start(), Daemon::start());
    let holder = drains.client();
    let (leads, led) = oneshot::channel();
    let _held = tokio::spawn(holder.call("held").run(|_| async move {
        let _ = leads.send(());
        std::future::pending::<Result<u32, Never>>().await
    }));
    soon(led).await.unwrap();
    let both = client(&[&drains.address, &stays.address]).build().unwrap();
    for key in 0..20u32 {
        if key == 10 {
            drains.drain();
        }
        let flight = soon(both.call(key.to_string()).run(one)).await.unwrap();
        assert!(!flight.failed_open && flight.led);
    }
}

// ------------------------------------------------------------------- a server that goes away

type Held = std::pin::Pin<Box<dyn std::future::Future<Output = Result<Bytes, Error>> + Send>>;

/// A function that writes before and after it is let go.
fn writer(
    leads: oneshot::Sender<Leader>,
    gate: oneshot::Receiver<()>,
) -> impl FnOnce(Leader) -> Held + Send + 'static {
    |leader: Leader| {
        Box::pin(async move {
            leader.write("half ").await?;
            let _ = leads.send(leader.clone());
            let _ = gate.await;
            for _ in 0..40 {
                leader.write(vec![b'.'; 64 * 1024]).await?; // more than may be on its way
            }
            Ok(Bytes::from("whole"))
        })
    }
}

#[tokio::test]
async fn with_fail_open_a_function_goes_on_without_its_server() {
    for lease in [Duration::ZERO, Duration::from_secs(1)] {
        let mut daemon = Daemon::start();
        let client = daemon.client_with(Client::builder().fail_open(true));
        let (leads, led) = oneshot::channel();
        let (go, gate) = oneshot::channel();
        let call = client.call("k").lease(lease);
        let first = tokio::spawn(call.run_bytes(writer(leads, gate)));
        let leader = soon(led).await.unwrap();
        let call = client.call("k").lease(lease);
        let merged = tokio::spawn(call.run_bytes(|_| async { Ok::<_, Never>("another") }));
        tokio::task::yield_now().await;
        daemon.kill();
        // Others learn it, too; by then the lead is not the server's any more.
        assert!(is_alone(&soon(client.call("other").run(one)).await.unwrap()));
        go.send(()).unwrap();
        for (call, leads) in [(first, true), (merged, false)] {
            let flight = soon(call).await.unwrap().unwrap();
            assert!(flight.failed_open && flight.led == leads && !leader.is_lost());
            assert_eq!(flight.value.len(), 10 + 40 * 64 * 1024);
            assert_eq!((flight.token, flight.callers), (leader.token(), 2));
        }
    }
}

#[tokio::test]
async fn a_leader_that_loses_its_server_goes_on_while_its_lease_holds() {
    let daemon = Daemon::start();
    let relay = Relay::to(&daemon.address).await;
    let other = Daemon::start();
    // The other server does not know the lead: that is no reason to end it.
    let client = client(&[&relay.address, &other.address]).build().unwrap();
    let lease = Duration::from_secs(600);
    for key in 0..8u32 {
        let (leads, led) = oneshot::channel();
        let (go, gate) = oneshot::channel();
        let call = client.call(key.to_string()).lease(lease);
        let call = tokio::spawn(call.run_bytes(writer(leads, gate)));
        let leader = soon(led).await.unwrap();
        relay.cut();
        // It has been told to look elsewhere when calls get through there.
        soon(client.call("after").run(one)).await.unwrap();
        soon(client.call("the cut").run(one)).await.unwrap();
        assert!(!leader.is_lost());
        relay.open();
        go.send(()).unwrap();
        let flight = soon(call).await.unwrap().unwrap();
        assert_eq!((flight.failed_open, flight.token), (false, leader.token()));
    }
}

#[tokio::test]
async fn a_lead_is_lost_by_the_clock_when_nobody_answers() {
    let daemon = Daemon::start();
    let relay = Relay::to(&daemon.address).await;
    let client = client_of(&relay.address);
    let (leads, led) = oneshot::channel();
    let lease = Duration::from_secs(1);
    let call = tokio::spawn(client.call("k").lease(lease).run(|leader: Leader| async move {
        let _ = leads.send(leader);
        std::future::pending::<Result<u32, Never>>().await
    }));
    let leader = soon(led).await.unwrap();
    tokio::time::sleep(2 * lease).await; // poll: no event tells that it was renewed
    assert!(!leader.is_lost());
    relay.swallow();
    let cut = Instant::now();
    soon(leader.lost()).await;
    let took = cut.elapsed();
    assert!(took <= lease + Duration::from_secs(1), "{took:?}");
    assert!(leader.is_lost());
    assert_eq!(code(soon(call).await.unwrap()), Code::Aborted);
}

#[tokio::test]
async fn without_a_lease_it_is_lost_when_the_server_has_given_it_up() {
    let listen = ["--listen", "127.0.0.1:0", "--keepalive-time", "1s", "--keepalive-timeout", "1s"];
    let daemon = Daemon::start_with(&listen);
    let relay = Relay::to(&daemon.address).await;
    let client = client_of(&relay.address);
    let (leads, led) = oneshot::channel();
    let call = tokio::spawn(client.call("k").run(|leader: Leader| async move {
        let _ = leads.send(leader);
        std::future::pending::<Result<u32, Never>>().await
    }));
    let leader = soon(led).await.unwrap();
    relay.swallow();
    let cut = Instant::now();
    soon(leader.lost()).await;
    assert!(cut.elapsed() <= Duration::from_secs(3), "{:?}", cut.elapsed());
    assert_eq!(code(soon(call).await.unwrap()), Code::Aborted);
}

#[tokio::test]
async fn a_listener_that_says_nothing_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let patience = Duration::from_millis(300);
    let builder = Client::builder().address(address).connect_timeout(patience);
    let client = builder.fail_open(true).build().unwrap();
    let began = Instant::now();
    assert!(is_alone(&soon(client.call("k").run(one)).await.unwrap()));
    assert!(began.elapsed() >= patience);
}
