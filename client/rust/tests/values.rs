// SPDX-License-Identifier: Apache-2.0
//! Values, what cannot be read or written, and what followers learn of an error.

mod support;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use singleflightd::{Client, Codec, CodecStep, Error, Facts, Flight, FunctionError, Json, Leader};
use support::{soon, Daemon};
use tokio::sync::oneshot;

type Never = std::convert::Infallible;

const KEPT: Duration = Duration::from_secs(600);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Old {
    name: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct New {
    name: String,
    age: u32,
}

fn ann() -> New {
    New { name: "Ann".into(), age: 7 }
}

fn step<T: fmt::Debug>(end: Result<T, Error>) -> CodecStep {
    match end {
        Err(Error::Codec(error)) => error.step,
        other => panic!("{other:?}"),
    }
}

/// Leads with a function that ends when a follower waits; both ends.
async fn led_and_followed<T, E>(
    daemon: &Daemon,
    end: Result<T, E>,
) -> (Result<Flight<T>, Error>, Result<Flight<T>, Error>)
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    let (leader, follower) = (daemon.client(), daemon.client());
    let (leads, led) = oneshot::channel();
    let call = leader.call("k").audience(true).run(|leader: Leader| async move {
        let _ = leads.send(());
        while leader.audience().is_none_or(|audience| audience.followers == 0) {
            leader.audience_changed().await;
        }
        end
    });
    let call = tokio::spawn(call);
    soon(led).await.unwrap();
    let followed = soon(follower.call("k").follow::<T>()).await;
    (soon(call).await.unwrap(), followed)
}

// ----------------------------------------------------------------------------------- codecs

#[tokio::test]
async fn followers_get_typed_values() {
    let daemon = Daemon::start();
    let (led, followed) = led_and_followed(&daemon, Ok::<_, Never>(ann())).await;
    assert_eq!((led.unwrap().value, followed.unwrap().value), (ann(), ann()));
}

#[tokio::test]
async fn what_cannot_be_encoded_is_so_for_leader_and_follower() {
    let daemon = Daemon::start();
    let (led, followed) = led_and_followed(&daemon, Ok::<_, Never>(vec![1.0, f64::NAN])).await;
    assert!(led.as_ref().unwrap_err().to_string().contains("NaN"), "{led:?}");
    assert_eq!((step(led), step(followed)), (CodecStep::Encode, CodecStep::Encode));
}

#[tokio::test]
async fn what_cannot_be_decoded_is_so_for_leader_and_follower_alone() {
    let daemon = Daemon::start();
    let (led, followed) = led_and_followed(&daemon, Ok::<_, Never>(OneWay)).await;
    assert_eq!((step(led), step(followed)), (CodecStep::Decode, CodecStep::Decode));
}

#[derive(Debug, Serialize)]
struct OneWay;

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("one way only"))
    }
}

#[derive(Debug, Clone)]
struct Shouting;

impl Codec for Shouting {
    type Error = serde_json::Error;

    fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, Self::Error> {
        Ok(serde_json::to_string(value)?.to_uppercase().into())
    }

    fn decode<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, Self::Error> {
        serde_json::from_slice(&value.to_ascii_lowercase())
    }
}

#[tokio::test]
async fn a_client_and_a_call_have_codecs_of_their_own() {
    let daemon = Daemon::start();
    let builder = Client::builder().codec(Shouting).address(&daemon.address);
    let client: Client<Shouting> = builder.build().unwrap();
    let call = client.call("k").retain(KEPT);
    let call = call.run(|_| async { Ok::<_, Never>("hello".to_owned()) });
    assert_eq!(soon(call).await.unwrap().value, "hello");
    let plain = soon(client.call("k").codec(Json).follow::<String>()).await.unwrap();
    assert_eq!(plain.value, "HELLO");
    let bytes = soon(client.call("k").follow_bytes()).await.unwrap();
    assert_eq!(&bytes.value[..], b"\"HELLO\"");
}

#[tokio::test]
async fn a_retained_value_of_another_version_counts_as_not_retained_once() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let call = client.call("k").retain(KEPT);
    soon(call.run(|_| async { Ok::<_, Never>(Old { name: "Ann".into() }) })).await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let call = client.call("k").retain(KEPT).run(move |_| async move {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Never>(ann())
    });
    let flight = soon(call).await.unwrap();
    assert!(flight.led && !flight.retained && flight.value == ann());
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    // The old version reads what the new one has made, or the other way round; nobody is stopped.
    let late = soon(client.call("k").follow::<New>()).await.unwrap();
    assert!(late.retained && late.value == ann());
    // Once: what cannot be read then, is an error.
    let call = client.call("k").retain(KEPT).run(|_| async { Ok::<_, Never>(OneWay) });
    assert_eq!(step(soon(call).await), CodecStep::Decode);
}

// ------------------------------------------------------------------------------------ stale

async fn stale(client: &Client, value: &'static str) -> Flight<String> {
    let call = client.call("k").retain(KEPT).stale(KEPT).max_age(Duration::from_millis(1));
    soon(call.run(move |_| async move { Ok::<_, Never>(value.to_owned()) })).await.unwrap()
}

async fn kept(client: &Client) -> (String, Facts) {
    let flight = soon(client.call("k").follow::<String>()).await.unwrap();
    (flight.value, flight.facts)
}

#[tokio::test]
async fn a_stale_outcome_is_served_at_once_and_made_anew() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let first = stale(&client, "old").await;
    assert!(first.led && !first.stale);
    // poll: it becomes older than max_age by itself
    while kept(&client).await.1.age <= Duration::from_millis(1) {}
    let served = stale(&client, "new").await;
    assert!(served.stale && served.retained && served.value == "old");
    // poll: the refresh tells nobody
    while kept(&client).await.0 == "old" {}
    assert_eq!(kept(&client).await.0, "new");
}

#[tokio::test]
async fn when_the_refresh_fails_the_old_outcome_goes_on_being_served() {
    let daemon = Daemon::start();
    let client = daemon.client();
    stale(&client, "old").await;
    // poll: it becomes older than max_age by itself
    while kept(&client).await.1.age <= Duration::from_millis(1) {}
    for _ in 0..2 {
        let (fails, failed) = oneshot::channel();
        let call = client.call("k").stale(KEPT).max_age(Duration::from_millis(1));
        let call = call.retain_error(KEPT).run(|leader: Leader| async move {
            leader.set_retain(KEPT);
            let _ = fails.send(());
            Err::<String, _>("no source")
        });
        let flight = soon(call).await.unwrap();
        assert!(flight.stale && flight.value == "old");
        soon(failed).await.unwrap();
    }
    assert_eq!(kept(&client).await.0, "old");
}

// ----------------------------------------------------------------------------------- causes

#[derive(Debug)]
struct Deep(&'static str, Option<Box<Deep>>);

impl fmt::Display for Deep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Deep {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

fn deep() -> Deep {
    Deep("no user 7", Some(Box::new(Deep("no row", Some(Box::new(Deep("db down", None)))))))
}

#[tokio::test]
async fn causes_are_carried_to_followers() {
    let daemon = Daemon::start();
    let (led, followed) = led_and_followed(&daemon, Err::<u32, _>(deep())).await;
    for end in [led, followed] {
        let Err(Error::Function(error)) = end else { panic!("{end:?}") };
        assert_eq!(error.message, "no user 7");
        assert_eq!(error.stack, "caused by: no row\ncaused by: db down");
    }
    let own = FunctionError::new("busy").with_code(7).with_source(deep());
    let (led, followed) = led_and_followed(&daemon, Err::<u32, _>(own)).await;
    let Err(Error::Function(led)) = led else { panic!("{led:?}") };
    assert!(led.original().is_some_and(|cause| cause.is::<Deep>()));
    let Err(Error::Function(followed)) = followed else { panic!("{followed:?}") };
    let causes = "caused by: no user 7\ncaused by: no row\ncaused by: db down";
    assert_eq!((followed.code, &*followed.stack), (7, causes));
}
