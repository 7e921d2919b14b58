// SPDX-License-Identifier: Apache-2.0
//! The conformance driver in Rust: tests/conformance/README.md has the words.

use std::collections::HashMap;
use std::future::{poll_fn, Future};
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use base64::prelude::{Engine, BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use serde::de::value::BytesDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::Serialize;
use serde_bytes::ByteBuf;
use serde_json::{json, Map, Value};
use sha2::{Digest, Sha256};
use singleflightd::{
    Call, Client, Code, Codec, CodecError, CodecStep, Error, Event, Facts, FunctionError, Kind,
    Leader, LeaderLoss, Role, StatusError,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PIECE_BYTES: usize = 64 * 1024;
const STACK_MAX: usize = 16 * 1024;

fn print(event: &Value) {
    let mut out = std::io::stdout().lock();
    // Whoever reads it may be gone; the end of the input follows.
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}

fn text(from: &Value, name: &str) -> String {
    from[name].as_str().unwrap_or_default().to_owned()
}

fn number(from: &Value, name: &str) -> u64 {
    match &from[name] {
        Value::String(text) => text.parse().unwrap_or(0),
        other => other.as_u64().unwrap_or(0),
    }
}

fn decoded(from: &Value, name: &str) -> Bytes {
    BASE64_STANDARD.decode(text(from, name)).expect("fields that end in _b64 are base64").into()
}

fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

// ---- signals

#[derive(Default)]
struct Signals(Mutex<HashMap<String, watch::Sender<bool>>>);

impl Signals {
    fn give(&self, name: &str) {
        let mut signals = self.0.lock().unwrap();
        signals
            .entry(name.to_owned())
            .or_insert_with(|| watch::channel(false).0)
            .send_replace(true);
    }

    async fn wait(&self, name: &str) {
        let mut given = {
            let mut signals = self.0.lock().unwrap();
            signals.entry(name.to_owned()).or_insert_with(|| watch::channel(false).0).subscribe()
        };
        given.wait_for(|given| *given).await.expect("signals are kept");
    }
}

// ---- the function

// What a function may use.
struct Scene {
    call: String,
    client: Client,
    signals: Arc<Signals>,
    done: CancellationToken, // when the call's end has been told
}

// The function is dropped when its lead is lost: what comes after `wait_lost` is cleaning up.
struct Running {
    call: String,
    leader: Leader,
    after_loss: Vec<Value>,
    done: CancellationToken,
    over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.over || !self.leader.is_lost() {
            return;
        }
        print(&json!({"event": "lost", "call": self.call}));
        // Its caller may have left, which is told first.
        let has_left = self.leader.why_lost().is_some_and(|why| why.code != Code::Aborted);
        for action in &self.after_loss {
            if action.get("ask_lost").is_some() {
                let (asked, done) = (asked(&self.call, &self.leader), self.done.clone());
                if has_left {
                    tokio::spawn(async move {
                        done.cancelled().await;
                        print(&asked);
                    });
                } else {
                    print(&asked);
                }
            }
        }
    }
}

fn asked(call: &str, leader: &Leader) -> Value {
    json!({"event": "asked", "call": call, "lost": leader.is_lost()})
}

async fn write_fill(leader: &Leader, fill: &Value) -> Result<(), StatusError> {
    let (bytes, seed) = (number(fill, "bytes") as usize, number(fill, "seed") as usize);
    let mut done = 0;
    while done < bytes {
        let size = PIECE_BYTES.min(bytes - done);
        let piece: BytesMut =
            (done..done + size).map(|at| (seed + at * 31 + (at >> 8) * 17) as u8).collect();
        leader.write(piece.freeze()).await?;
        done += size;
    }
    Ok(())
}

fn error_of(details: &Value) -> FunctionError {
    let mut error = FunctionError::new(text(details, "message"))
        .with_type(text(details, "type"))
        .with_code(details["code"].as_i64().unwrap_or(0) as i32)
        .with_details(decoded(details, "details_b64"));
    if let Some(cause) = details["cause"].as_str() {
        error = error.with_source(cause);
    }
    if details["pass_on"] == true {
        error.pass_on()
    } else {
        error
    }
}

async fn function(
    scene: Scene,
    leader: Leader,
    actions: Vec<Value>,
) -> Result<ByteBuf, FunctionError> {
    let call = scene.call.clone();
    print(&json!({"event": "lead", "call": call, "token": leader.token().to_string(),
                  "attempt": leader.attempt()}));
    let after_loss =
        actions.iter().skip_while(|action| action.get("wait_lost").is_none()).cloned().collect();
    let done = scene.done.clone();
    let mut running = Running { call, leader: leader.clone(), after_loss, done, over: false };
    let end = act(&scene, &leader, actions).await;
    running.over = true;
    end.map(|()| ByteBuf::new())
}

async fn act(scene: &Scene, leader: &Leader, actions: Vec<Value>) -> Result<(), FunctionError> {
    for action in actions {
        let fields: &Map<String, Value> = action.as_object().expect("an action is an object");
        let (name, what) = fields.iter().next().expect("an action says what");
        match name.as_str() {
            // What came of a write is told by the result.
            "write_b64" => drop(leader.write(decoded(&action, name)).await),
            "fill" => drop(write_fill(leader, what).await),
            "wait" => scene.signals.wait(what.as_str().unwrap_or_default()).await,
            "wait_lost" => leader.lost().await,
            "wait_audience" => {
                let wanted = what.as_u64().unwrap_or(0);
                while leader.audience().is_none_or(|a| u64::from(a.followers) < wanted) {
                    leader.audience_changed().await;
                }
            }
            // Six scenarios at a time block more threads than the runtime has.
            "block_ms" => tokio::task::block_in_place(|| {
                std::thread::sleep(Duration::from_millis(what.as_u64().unwrap_or(0)));
            }),
            "ask_lost" => print(&asked(&scene.call, leader)),
            "do_inside" => {
                run_inside(scene.client.clone(), what.clone(), scene.signals.clone()).await;
            }
            "ok" | "retain_ms" => {
                if fields.contains_key("retain_ms") {
                    leader.set_retain(Duration::from_millis(number(&action, "retain_ms")));
                }
                break;
            }
            "error" => return Err(error_of(what)),
            "panic" => panic!("{}", what.as_str().unwrap_or_default()),
            "abandon" => {
                let error = FunctionError::abandoned();
                return Err(if what["pass_on"] == true { error.pass_on() } else { error });
            }
            _ => unreachable!("unknown words are refused before"),
        }
    }
    Ok(())
}

// ---- words

const OPTIONS: [&str; 25] = [
    "group",
    "key_b64",
    "timeout_ms",
    "retain_ms",
    "retain_error_ms",
    "max_age_ms",
    "lease_ms",
    "run_limit_ms",
    "on_leader_loss",
    "max_attempts",
    "role",
    "live",
    "audience",
    "fingerprint_b64",
    "caller",
    "resume_token",
    "connect_timeout_ms",
    "fail_open",
    "local_merge",
    "fresh",
    "retain_from_lead",
    "stale_ms",
    "decode",
    "encode",
    "key",
];
const ACTIONS: [&str; 13] = [
    "write_b64",
    "fill",
    "wait",
    "wait_lost",
    "wait_audience",
    "block_ms",
    "ask_lost",
    "do_inside",
    "ok",
    "retain_ms",
    "error",
    "panic",
    "abandon",
];

// The first word of a call that this driver, or this language, does not have.
fn unknown_word(command: &Value) -> Option<String> {
    let options = command["options"].as_object();
    let mut names = options.into_iter().flatten().map(|(name, _)| name);
    if let Some(name) = names.find(|name| !OPTIONS.contains(&name.as_str())) {
        return Some(format!("unknown option {name}"));
    }
    if command["function"].is_null() && command.get("function").is_some() {
        return Some("unknown function null: it does not compile".to_owned());
    }
    command["function"].as_array().into_iter().flatten().find_map(|action| {
        let name = action.as_object().and_then(|fields| fields.keys().next())?;
        match name.as_str() {
            "do_inside" => unknown_word(&action[name]),
            name if ACTIONS.contains(&name) => None,
            name => Some(format!("unknown action {name}")),
        }
    })
}

// ---- the codec

// Bytes as they are. What the function has written is the whole value: nothing is to be encoded.
#[derive(Clone)]
struct Raw {
    fails_to_encode: bool,
    fails_to_decode: bool,
}

impl Codec for Raw {
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn encode<T: Serialize>(&self, _: &T) -> Result<Bytes, Self::Error> {
        if self.fails_to_encode {
            return Err("it was told to fail".into());
        }
        Ok(Bytes::new())
    }

    fn decode<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, Self::Error> {
        if self.fails_to_decode {
            return Err("it was told to fail".into());
        }
        let bytes: BytesDeserializer<'_, serde::de::value::Error> = value.into_deserializer();
        Ok(T::deserialize(bytes)?)
    }
}

// ---- calls

fn with_options<C: Codec>(mut call: Call<C>, from: &Value) -> Call<C> {
    let time = |name: &str| from.get(name).map(|_| Duration::from_millis(number(from, name)));
    macro_rules! set {
        ($value:expr, $method:ident) => {
            if let Some(value) = $value {
                call = call.$method(value);
            }
        };
    }
    set!(from["group"].as_str(), group);
    set!(time("timeout_ms"), timeout);
    set!(time("retain_ms"), retain);
    set!(time("retain_error_ms"), retain_error);
    set!(time("max_age_ms"), max_age);
    set!(time("lease_ms"), lease);
    set!(time("run_limit_ms"), run_limit);
    set!((from["on_leader_loss"] == "FAIL").then_some(LeaderLoss::Fail), on_leader_loss);
    set!((from["on_leader_loss"] == "HOLD").then_some(LeaderLoss::Hold), on_leader_loss);
    set!(from["fresh"].as_bool(), fresh);
    set!(from["retain_from_lead"].as_bool(), retain_from_lead);
    set!(time("stale_ms"), stale);
    set!(from.get("max_attempts").map(|_| number(from, "max_attempts") as u32), max_attempts);
    set!((from["role"] == "LEAD_ONLY").then_some(Role::LeadOnly), role);
    set!((from["role"] == "FOLLOW_ONLY").then_some(Role::FollowOnly), role);
    set!(from["audience"].as_bool(), audience);
    set!(from.get("fingerprint_b64").map(|_| decoded(from, "fingerprint_b64")), fingerprint);
    set!(from["caller"].as_str(), caller);
    set!(from.get("resume_token").map(|_| number(from, "resume_token")), resume_token);
    set!(time("connect_timeout_ms"), connect_timeout);
    set!(from["fail_open"].as_bool(), fail_open);
    set!(from["local_merge"].as_bool(), local_merge);
    call
}

async fn run_live(
    call: Call<Raw>,
    name: &str,
    function: impl FnOnce(Leader) -> Ran + Send + 'static,
) -> (Result<(Vec<u8>, Facts), Error>, Option<BytesMut>) {
    let mut chunks = call.live(|leader| {
        let value = function(leader);
        async { value.await.map(ByteBuf::into_vec) }
    });
    let mut seen = BytesMut::new();
    while let Some(event) = chunks.next().await {
        match event {
            Event::Follow { .. } => print(&json!({"event": "follow", "call": name})),
            Event::Chunk(data) => {
                seen.extend_from_slice(&data);
                print(&json!({"event": "chunk", "call": name, "bytes": data.len()}));
            }
            Event::Restart { attempt, .. } => {
                seen.clear();
                print(&json!({"event": "restart", "call": name, "attempt": attempt}));
            }
            _ => {}
        }
    }
    (chunks.result().await.map(|flight| (flight.value.into(), flight.facts)), Some(seen))
}

type Ran = Pin<Box<dyn Future<Output = Result<ByteBuf, FunctionError>> + Send>>;

// `told` is cancelled when the call's end has been told.
async fn run_call(client: Client, command: Value, signals: Arc<Signals>, told: CancellationToken) {
    let name = text(&command, "call");
    if let Some(message) = unknown_word(&command) {
        print(&json!({"event": "error", "call": name, "message": message}));
        return;
    }
    let options = &command["options"];
    let codec = Raw {
        fails_to_encode: options["encode"] == "fail",
        fails_to_decode: options["decode"] == "fail",
    };
    let call = with_options(client.call(decoded(options, "key_b64")).codec(codec), options);
    let actions = command["function"].as_array().cloned().unwrap_or_default();
    let scene = Scene { call: name.clone(), client, signals, done: told.clone() };
    let function = move |leader: Leader| -> Ran {
        Box::pin(async move { function(scene, leader, actions).await })
    };
    let (end, seen) = if options["live"] == true {
        run_live(call, &name, function).await
    } else {
        let end = call.run(function).await;
        (end.map(|flight| (flight.value.into_vec(), flight.facts)), None)
    };
    print(&done_event(&name, end, seen));
    told.cancel();
}

fn run_inside(
    client: Client,
    command: Value,
    signals: Arc<Signals>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(run_call(client, command, signals, CancellationToken::new()))
}

fn done_event(name: &str, end: Result<(Vec<u8>, Facts), Error>, seen: Option<BytesMut>) -> Value {
    let mut event = match end {
        Ok((value, facts)) => with_value("OK", &value, &facts),
        Err(Error::Function(error)) => {
            let outcome = match error.kind {
                Kind::Panic => "PANIC",
                Kind::Abandoned => "ABANDONED",
                _ => "ERROR",
            };
            let mut event = with_value(outcome, &error.value, &error.facts);
            event["message"] = json!(error.message);
            event["code"] = json!(error.code);
            event["type"] = json!(error.type_name);
            event["has_stack"] = json!(!error.stack.is_empty());
            event["stack"] = json!(error.stack.chars().take(STACK_MAX).collect::<String>());
            event["error_class"] = json!("function");
            event["details_b64"] = json!(BASE64_STANDARD.encode(&error.details));
            event
        }
        Err(Error::Status(status)) => {
            json!({"status": status_name(&status), "message": status.message, "outcome": "",
                   "error_class": "status"})
        }
        Err(Error::Codec(error)) => of_codec(&error),
        Err(other) => json!({"status": "INTERNAL", "message": other.to_string()}),
    };
    event["event"] = json!("done");
    event["call"] = json!(name);
    if let Some(seen) = seen {
        event["chunks_bytes"] = json!(seen.len());
        event["chunks_sha256"] = json!(sha256(&seen));
    }
    event
}

// An outcome of this type is what the library knows such a failure of the leader's codec by.
fn of_codec(error: &CodecError) -> Value {
    if error.step == CodecStep::Encode {
        return json!({"status": "OK", "message": error.message, "outcome": "ERROR",
                      "type": "singleflight.EncodeError", "error_class": "encode"});
    }
    json!({"status": "OK", "message": error.message, "outcome": "OK", "error_class": "decode"})
}

fn with_value(outcome: &str, value: &[u8], facts: &Facts) -> Value {
    json!({
        "status": "OK", "message": "", "outcome": outcome, "error_class": "",
        "value_bytes": value.len(), "value_sha256": sha256(value),
        "led": facts.led, "shared": facts.shared, "callers": facts.callers,
        "attempt": facts.attempt, "token": facts.token.to_string(), "retained": facts.retained,
        "retain_refused": facts.retain_refused, "failed_open": facts.failed_open,
        "age_ms": facts.age.as_millis() as u64, "stale": facts.stale,
    })
}

// DEADLINE_EXCEEDED for DeadlineExceeded.
fn status_name(status: &StatusError) -> String {
    let mut name = String::new();
    for letter in format!("{:?}", status.code).chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

// ---- commands

#[derive(Default)]
struct Driver {
    clients: HashMap<String, Client>,
    calls: HashMap<String, (JoinHandle<()>, CancellationToken)>,
    signals: Arc<Signals>,
}

impl Driver {
    fn open(&mut self, command: &Value) {
        let name = text(command, "client");
        let options = &command["options"];
        let mut builder = Client::builder();
        for address in command["addresses"].as_array().into_iter().flatten() {
            builder = builder.address(address.as_str().unwrap_or_default());
        }
        if let Some(caller) = options["caller"].as_str() {
            builder = builder.caller(caller);
        }
        let time =
            |field: &str| options.get(field).map(|_| Duration::from_millis(number(options, field)));
        if let Some(timeout) = time("connect_timeout_ms") {
            builder = builder.connect_timeout(timeout);
        }
        if let (Some(min), Some(max)) = (time("backoff_min_ms"), time("backoff_max_ms")) {
            builder = builder.backoff(min, max);
        }
        if options.get("result_limit").is_some() {
            builder = builder.result_limit(number(options, "result_limit") as usize);
        }
        match builder.fail_open(options["fail_open"] == true).build() {
            Ok(client) => {
                self.clients.insert(name.clone(), client);
                print(&json!({"event": "client", "client": name}));
            }
            Err(status) => print(&json!({"event": "error", "client": name,
                "code": status_name(&status), "message": status.message})),
        }
    }

    async fn forget(&self, command: &Value) {
        let name = text(command, "client");
        let (group, key) = (text(command, "group"), decoded(command, "key_b64"));
        let if_unshared = command["if_unshared"] == true;
        let client = &self.clients[&name];
        let forgotten = if command["end"] == true {
            client.end(&group, key, if_unshared).await
        } else {
            client.forget(&group, key, if_unshared).await
        };
        match forgotten {
            Ok(forgotten) => print(&json!({"event": "forgot", "client": name,
                "flight": forgotten.flight, "retained": forgotten.retained,
                "ended": forgotten.ended})),
            Err(status) => print(&json!({"event": "error", "client": name,
                "code": status_name(&status), "message": status.message})),
        }
    }

    async fn obey(&mut self, command: Value) {
        match command["op"].as_str().unwrap_or_default() {
            "hello" => {
                print(&json!({"event": "hello", "language": "rust",
                              "version": env!("CARGO_PKG_VERSION")}));
            }
            "client" => self.open(&command),
            "do" => {
                let client = self.clients[&text(&command, "client")].clone();
                let name = text(&command, "call");
                let told = CancellationToken::new();
                let call = run_call(client, command, self.signals.clone(), told.clone());
                let mut call = Box::pin(call);
                // It begins here, so that the next command finds it under way.
                let begun = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
                if begun.is_pending() {
                    self.calls.insert(name, (tokio::spawn(call), told));
                }
            }
            "signal" => self.signals.give(&text(&command, "name")),
            "cancel" => {
                let name = text(&command, "call");
                if let Some((call, told)) = self.calls.remove(&name) {
                    call.abort(); // which drops the call's future
                    if call.await.is_err_and(|end| end.is_cancelled()) {
                        print(&json!({"event": "done", "call": name, "status": "CANCELLED",
                                      "error_class": "status"}));
                        told.cancel();
                    }
                }
            }
            "forget" => self.forget(&command).await,
            "close" => {
                let name = text(&command, "client");
                if let Some(client) = self.clients.remove(&name) {
                    client.close().await;
                }
                print(&json!({"event": "closed", "client": name}));
            }
            other => print(&json!({"event": "error", "call": command["call"],
                "client": command["client"], "message": format!("unknown op {other}")})),
        }
    }
}

// Some functions block their thread.
#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> std::io::Result<()> {
    // Panics are part of the play: a line each is enough.
    std::panic::set_hook(Box::new(|info| eprintln!("driver: {info}")));
    let mut driver = Driver::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        driver.obey(serde_json::from_str(&line)?).await;
    }
    for client in driver.clients.into_values() {
        client.close().await;
    }
    Ok(())
}
