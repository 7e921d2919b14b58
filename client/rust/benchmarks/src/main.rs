// SPDX-License-Identifier: Apache-2.0
//! Flights through the client, and the same messages by tonic alone. Prints one JSON object a line.
//! Usage: singleflightd-bench --address HOST:PORT --seconds S

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

#[allow(clippy::all, clippy::pedantic)]
mod pb {
    include!("../../src/pb/singleflight.v1.rs");
}
use pb::call_request::Step as Ask;
use pb::call_response::Step as Answer;

const VALUE: &[u8] = &[b'v'; 100];

fn report(name: &str, latencies: &mut [Duration], took: Duration) {
    latencies.sort_unstable();
    let p50 = latencies[latencies.len() / 2].as_secs_f64() * 1e6;
    let rate = latencies.len() as f64 / took.as_secs_f64();
    println!(r#"{{"name":"{name}","flights_per_s":{rate:.0},"p50_us":{p50:.1}}}"#);
}

async fn through_client(name: &str, address: &str, time: Duration, callers: usize) {
    let client = singleflightd::Client::builder().address(address).build().expect("an address");
    let started = Instant::now();
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < time {
                let begun = Instant::now();
                let key = format!("{caller}:{}", latencies.len());
                let flight = client
                    .call(key)
                    .run_bytes(|_| async { Ok::<_, std::convert::Infallible>(VALUE) })
                    .await
                    .expect("a flight");
                assert_eq!(flight.value, VALUE);
                latencies.push(begun.elapsed());
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a task"));
    }
    report(name, &mut latencies, started.elapsed());
    client.close().await;
}

fn ask(id: u64, step: Ask) -> pb::SessionRequest {
    pb::SessionRequest { calls: vec![pb::CallRequest { id, timeout_ms: 0, step: Some(step) }] }
}

fn join(id: u64) -> pb::SessionRequest {
    ask(id, Ask::Join(pb::Join { key: format!("bare:{id}").into(), ..Default::default() }))
}

fn finish(id: u64) -> pb::SessionRequest {
    let outcome =
        pb::Outcome { kind: pb::OutcomeKind::Ok.into(), value: VALUE.into(), ..Default::default() };
    ask(id, Ask::Finish(pb::Finish { outcome: Some(outcome), retention: None, pass_on: false }))
}

async fn by_hand(name: &str, address: &str, time: Duration, callers: u64) {
    let mut stub =
        pb::single_flight_client::SingleFlightClient::connect(format!("http://{address}"))
            .await
            .expect("a daemon");
    let (sender, requests) = mpsc::unbounded_channel();
    let started = Instant::now();
    let mut begun = HashMap::new();
    for id in 1..=callers {
        begun.insert(id, Instant::now());
        sender.send(join(id)).expect("a stream");
    }
    let stream = stub.session(UnboundedReceiverStream::new(requests)).await.expect("a session");
    let mut stream = stream.into_inner();
    let mut next = callers;
    let mut latencies = Vec::new();
    while started.elapsed() < time {
        let message = stream.message().await.expect("a stream").expect("a message");
        for answer in message.calls {
            match answer.step {
                Some(Answer::Lead(_)) => sender.send(finish(answer.id)).expect("a stream"),
                Some(Answer::Result(_)) => {
                    let since = begun.remove(&answer.id).expect("it has begun");
                    latencies.push(since.elapsed());
                    next += 1;
                    begun.insert(next, Instant::now());
                    sender.send(join(next)).expect("a stream");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    report(name, &mut latencies, started.elapsed());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).unwrap_or_else(|| panic!("{name} is missing"))
    };
    let address = value("--address");
    let time = Duration::from_secs_f64(value("--seconds").parse().expect("seconds"));
    through_client("client.rust.distinct64", address, time, 64).await;
    by_hand("client.rust.bare64", address, time, 64).await;
    through_client("client.rust.distinct1", address, time, 1).await;
    by_hand("client.rust.bare1", address, time, 1).await;
}
