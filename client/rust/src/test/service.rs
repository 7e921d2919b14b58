// SPDX-License-Identifier: Apache-2.0
//! The server of the fake.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{Asked, Script, Shared, Step};
use crate::constants::CHUNK_BYTES_MAX;
use crate::engine::lock;
use crate::outcome::wire;
use crate::pb::singleflight as pb;
use pb::call_request::Step as Said;
use pb::call_response::Step as Answer;

const SILENCE_MS: u64 = 60_000;
const RUN_LIMIT_MS: u64 = 86_400_000;

type Incoming = mpsc::UnboundedReceiver<io::Result<DuplexStream>>;
type Answers = mpsc::UnboundedSender<Result<pb::SessionResponse, Status>>;

pub(super) async fn serve(shared: Arc<Shared>, incoming: Incoming) {
    let service = tower::service_fn(move |request| route(request, shared.clone()));
    let incoming = UnboundedReceiverStream::new(incoming);
    // It ends with the fake.
    let _ = tonic::transport::Server::builder().serve_with_incoming(service, incoming).await;
}

async fn route(
    request: http::Request<Body>,
    shared: Arc<Shared>,
) -> Result<http::Response<Body>, Infallible> {
    match request.uri().path() {
        "/singleflight.v1.SingleFlight/Session" => {
            let method = tower::service_fn(move |request| session(request, shared.clone()));
            let codec = tonic_prost::ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).streaming(method, request).await)
        }
        "/singleflight.v1.SingleFlight/Forget" => {
            let method = tower::service_fn(move |request: Request<pb::ForgetRequest>| {
                let asked = request.into_inner();
                lock(&shared.state).forgets.push((asked.group, asked.key));
                async { Ok::<_, Status>(Response::new(pb::ForgetResponse::default())) }
            });
            let codec = tonic_prost::ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(method, request).await)
        }
        _ => Ok(Status::unimplemented("the fake does not do that").into_http()),
    }
}

// A session is read in a task of its own, and answered as it is read.
async fn session(
    request: Request<Streaming<pb::SessionRequest>>,
    shared: Arc<Shared>,
) -> Result<Response<UnboundedReceiverStream<Result<pb::SessionResponse, Status>>>, Status> {
    let (answers, receiver) = mpsc::unbounded_channel();
    let mut requests = request.into_inner();
    let broken = lock(&shared.state).broken.clone();
    tokio::spawn(async move {
        let mut leads = HashMap::new();
        let read = async {
            while let Ok(Some(message)) = requests.message().await {
                for call in message.calls {
                    send(&answers, call.id, answer(&shared, &mut leads, call));
                }
            }
        };
        tokio::select! {
            () = read => {}
            () = broken.cancelled() => {
                let _ = answers.send(Err(Status::unavailable("the fake is unavailable")));
            }
        }
    });
    Ok(Response::new(UnboundedReceiverStream::new(receiver)))
}

fn send(answers: &Answers, id: u64, steps: Vec<Answer>) {
    if !steps.is_empty() {
        let calls = steps.into_iter().map(|step| pb::CallResponse { id, step: Some(step) });
        let _ = answers.send(Ok(pb::SessionResponse { calls: calls.collect() }));
        // it may have left
    }
}

fn answer(
    shared: &Shared,
    leads: &mut HashMap<u64, pb::Lead>,
    call: pb::CallRequest,
) -> Vec<Answer> {
    match call.step {
        Some(Said::Join(join)) => answer_join(shared, leads, call.id, &join),
        Some(Said::Renew(renew)) if leads.contains_key(&call.id) => {
            vec![Answer::Renewed(pb::Renewed { id: renew.id, ..Default::default() })]
        }
        Some(Said::Finish(finish)) => {
            leads.remove(&call.id).map(|lead| confirmed(&lead, finish)).into_iter().collect()
        }
        Some(Said::Cancel(_)) => {
            leads.remove(&call.id);
            vec![end(Code::Cancelled, "cancelled")]
        }
        _ => Vec::new(),
    }
}

fn answer_join(
    shared: &Shared,
    leads: &mut HashMap<u64, pb::Lead>,
    id: u64,
    join: &pb::Join,
) -> Vec<Answer> {
    let script = shared.on_join(join);
    let leads_only = join.role() == pb::Role::LeadOnly;
    match &script.step {
        Step::IsRefused(status) => return vec![end(status.code, &status.message)],
        Step::Follows(_) | Step::Fails(_) if leads_only => {
            return vec![end(Code::Aborted, "another leads")];
        }
        Step::Follows(value) => return delivered(wire::write(None, Bytes::new()), value),
        Step::Fails(error) => {
            let failure = (**error).clone().into();
            return delivered(wire::write(Some(&failure), Bytes::new()), &error.value);
        }
        _ if join.role() == pb::Role::FollowOnly => {
            return vec![end(Code::NotFound, "there is nothing to follow")];
        }
        _ => {}
    }
    let lead = shared.grant(join, &script);
    match script.step {
        Step::Loses => {
            vec![Answer::Lead(lead), end(Code::Aborted, "the lead is lost: the test says so")]
        }
        Step::TakesOver => {
            leads.insert(id, lead);
            vec![follow(), Answer::Lead(lead)]
        }
        _ => {
            leads.insert(id, lead);
            vec![Answer::Lead(lead)]
        }
    }
}

impl Shared {
    fn on_join(&self, join: &pb::Join) -> Script {
        if join.resume_token > 0 {
            // It gives back a lead that it had left.
            return Script { token: join.resume_token, ..Script::default() };
        }
        let mut state = lock(&self.state);
        state.joins.push(Asked {
            group: join.group.clone(),
            key: join.key.clone(),
            retain: Duration::from_millis(join.retain_ms),
            retain_error: Duration::from_millis(join.retain_error_ms),
            max_age: Duration::from_millis(join.max_age_ms),
            lease: Duration::from_millis(join.lease_ms),
            run_limit: Duration::from_millis(join.run_limit_ms),
            max_attempts: join.max_attempts,
            fingerprint: join.fingerprint.clone(),
            fresh: join.fresh,
            caller: join.caller.clone(),
            traceparent: join.traceparent.clone(),
        });
        state.scripts.get(&join.key).cloned().unwrap_or_default()
    }

    fn grant(&self, join: &pb::Join, script: &Script) -> pb::Lead {
        let or = |value: u64, otherwise| if value == 0 { otherwise } else { value };
        let attempt = if matches!(script.step, Step::TakesOver) { 2 } else { script.attempt };
        let mut state = lock(&self.state);
        if script.token == 0 {
            state.token += 1;
        }
        pb::Lead {
            token: or(script.token, state.token),
            attempt: attempt.max(1),
            lease_ms: join.lease_ms,
            run_limit_ms: or(join.run_limit_ms, RUN_LIMIT_MS),
            silence_ms: or(join.lease_ms, SILENCE_MS),
            ..Default::default()
        }
    }
}

fn follow() -> Answer {
    Answer::Follow(pb::Follow {
        attempt: 1,
        leader: "singleflightd::test".to_owned(),
        ..Default::default()
    })
}

fn end(code: Code, message: &str) -> Answer {
    Answer::End(pb::End { code: code.into(), message: message.to_owned() })
}

// A leader's own result: its value does not come back.
fn confirmed(lead: &pb::Lead, finish: pb::Finish) -> Answer {
    let outcome = finish.outcome.map(|outcome| pb::Outcome { value: Bytes::new(), ..outcome });
    Answer::Result(pb::Result {
        outcome,
        led: true,
        callers: 1,
        attempt: lead.attempt,
        token: lead.token,
        ..Default::default()
    })
}

// An outcome for a follower: chunks, and the result with the last of them.
fn delivered(outcome: pb::Outcome, value: &Bytes) -> Vec<Answer> {
    let mut steps = vec![follow()];
    let mut rest = value.clone();
    let mut sequence = 0;
    while rest.len() > CHUNK_BYTES_MAX {
        let data = rest.split_to(CHUNK_BYTES_MAX);
        steps.push(Answer::Chunk(pb::Chunk { data, sequence, attempt: 1 }));
        sequence += 1;
    }
    steps.push(Answer::Result(pb::Result {
        outcome: Some(pb::Outcome { value: rest, ..outcome }),
        shared: true,
        callers: 2,
        attempt: 1,
        token: 1,
        value_bytes: value.len() as u64,
        ..Default::default()
    }));
    steps
}
