// SPDX-License-Identifier: Apache-2.0
//! The conformance driver in Rust: tests/conformance/README.md has the words.

use std::collections::HashMap;
use std::future::Future;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{Engine, BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use serde_json::{json, Map, Value};
use sha2::{Digest, Sha256};
use singleflightd::{
    Call, Client, Error, Event, Facts, Flight, FunctionError, Kind, Leader, LeaderLoss, Role,
    StatusError,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const PIECE_BYTES: usize = 64 * 1024;

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

// The function is dropped when the lead is lost.
struct Running {
    call: String,
    leader: Leader,
    over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over && self.leader.why_lost().is_some() {
            print(&json!({"event": "lost", "call": self.call}));
        }
    }
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
    let error = FunctionError::new(text(details, "message"))
        .with_type(text(details, "type"))
        .with_code(details["code"].as_i64().unwrap_or(0) as i32)
        .with_details(decoded(details, "details_b64"));
    if details["pass_on"] == true {
        error.pass_on()
    } else {
        error
    }
}

async fn function(
    call: String,
    leader: Leader,
    actions: Vec<Value>,
    signals: Arc<Signals>,
) -> Result<Bytes, FunctionError> {
    print(&json!({"event": "lead", "call": call, "token": leader.token().to_string(),
                  "attempt": leader.attempt()}));
    let mut running = Running { call, leader: leader.clone(), over: false };
    let end = act(&leader, actions, &signals).await;
    running.over = true;
    end
}

async fn act(
    leader: &Leader,
    actions: Vec<Value>,
    signals: &Signals,
) -> Result<Bytes, FunctionError> {
    for action in actions {
        let fields: &Map<String, Value> = action.as_object().expect("an action is an object");
        let (name, what) = fields.iter().next().expect("an action says what");
        match name.as_str() {
            // What came of a write is told by the result.
            "write_b64" => drop(leader.write(decoded(&action, name)).await),
            "fill" => drop(write_fill(leader, what).await),
            "wait" => signals.wait(what.as_str().unwrap_or_default()).await,
            "wait_lost" => leader.lost().await,
            "wait_audience" => {
                let wanted = what.as_u64().unwrap_or(0);
                while leader.audience().is_none_or(|a| u64::from(a.followers) < wanted) {
                    leader.audience_changed().await;
                }
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
            other => panic!("no action \"{other}\""),
        }
    }
    Ok(Bytes::new())
}

// ---- calls

fn with_options(mut call: Call, from: &Value) -> Call {
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
    call: Call,
    name: &str,
    function: impl FnOnce(Leader) -> Ran + Send + 'static,
) -> (Result<Flight<Bytes>, Error>, Option<BytesMut>) {
    let mut chunks = call.live(function);
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
    (chunks.result().await, Some(seen))
}

type Ran = std::pin::Pin<Box<dyn Future<Output = Result<Bytes, FunctionError>> + Send>>;

// `alive` is dropped with the function, which may outlive the call.
async fn run_call(client: Client, command: Value, signals: Arc<Signals>, alive: mpsc::Sender<()>) {
    let name = text(&command, "call");
    let options = &command["options"];
    let call = with_options(client.call(decoded(options, "key_b64")), options);
    drop(client);
    let actions = command["function"].as_array().cloned().unwrap_or_default();
    let called = name.clone();
    let function = move |leader: Leader| -> Ran {
        Box::pin(async move {
            let _alive = alive;
            function(called, leader, actions, signals).await
        })
    };
    let (end, seen) = if options["live"] == true {
        run_live(call, &name, function).await
    } else {
        (call.run_bytes(function).await, None)
    };
    print(&done(&name, end, seen));
}

fn done(name: &str, end: Result<Flight<Bytes>, Error>, seen: Option<BytesMut>) -> Value {
    let mut event = match end {
        Ok(flight) => with_value("OK", &flight.value, &flight.facts),
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
            event["details_b64"] = json!(BASE64_STANDARD.encode(&error.details));
            event
        }
        Err(Error::Status(status)) => {
            json!({"status": status_name(&status), "message": status.message, "outcome": ""})
        }
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

fn with_value(outcome: &str, value: &[u8], facts: &Facts) -> Value {
    json!({
        "status": "OK", "message": "", "outcome": outcome,
        "value_bytes": value.len(), "value_sha256": sha256(value),
        "led": facts.led, "shared": facts.shared, "callers": facts.callers,
        "attempt": facts.attempt, "token": facts.token.to_string(), "retained": facts.retained,
        "retain_refused": facts.retain_refused, "failed_open": facts.failed_open,
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
    calls: HashMap<String, (JoinHandle<()>, mpsc::Receiver<()>)>,
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
        match self.clients[&name].forget(&group, key, if_unshared).await {
            Ok(forgotten) => print(&json!({"event": "forgot", "client": name,
                "flight": forgotten.flight, "retained": forgotten.retained})),
            Err(status) => print(&json!({"event": "error", "client": name,
                "code": status_name(&status), "message": status.message})),
        }
    }

    async fn obey(&mut self, command: Value) {
        match command["op"].as_str().unwrap_or_default() {
            "hello" => {
                // Calls that have been told to start have run as far as they can.
                tokio::task::yield_now().await;
                print(&json!({"event": "hello", "language": "rust",
                              "version": env!("CARGO_PKG_VERSION")}));
            }
            "client" => self.open(&command),
            "do" => {
                let client = self.clients[&text(&command, "client")].clone();
                let name = text(&command, "call");
                let (alive, ended) = mpsc::channel(1);
                let task = tokio::spawn(run_call(client, command, self.signals.clone(), alive));
                self.calls.insert(name, (task, ended));
            }
            "signal" => self.signals.give(&text(&command, "name")),
            "cancel" => {
                let name = text(&command, "call");
                if let Some((call, mut ended)) = self.calls.remove(&name) {
                    call.abort(); // which drops the call's future
                    tokio::spawn(async move {
                        ended.recv().await; // the function is gone, too
                        print(&json!({"event": "done", "call": name, "status": "CANCELLED"}));
                    });
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
            other => panic!("no op \"{other}\""),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
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
