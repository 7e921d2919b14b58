// SPDX-License-Identifier: Apache-2.0
//! A server for tests, which says what the test says: also what servers of the first edition said.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::codegen::http;
use tonic::{Request, Response, Status, Streaming};

use crate::pb::singleflight as pb;
use pb::call_request::Step;
use pb::call_response::Step as Answer;

pub(super) struct Fake {
    pub address: String,
    sessions: mpsc::UnboundedReceiver<Session>,
    serving: JoinHandle<()>,
}

/// The server's end of a Session.
pub(super) struct Session {
    requests: Streaming<pb::SessionRequest>,
    calls: VecDeque<pb::CallRequest>,
    answers: mpsc::UnboundedSender<Result<pb::SessionResponse, Status>>,
    /// Who has opened it.
    pub visitor: Visitor,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Visitor {
    pub authorization: String,
    pub certificate: Vec<u8>, // DER
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Fake {
    pub async fn start() -> Self {
        Fake::start_with(tonic::transport::Server::builder()).await
    }

    pub async fn start_with(server: tonic::transport::Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, sessions) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |request| serve(request, sender.clone()));
        let serving = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            server.serve_with_incoming(service, incoming).await.unwrap();
        });
        Fake { address, sessions, serving }
    }

    pub async fn session(&mut self) -> Session {
        soon(self.sessions.recv()).await.expect("a session")
    }
}

// Every method is taken for Session.
async fn serve(
    request: http::Request<tonic::body::Body>,
    sessions: mpsc::UnboundedSender<Session>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let method = tower::service_fn(move |request: Request<Streaming<pb::SessionRequest>>| {
        let (answers, receiver) = mpsc::unbounded_channel();
        let visitor = visitor_of(&request);
        let (requests, calls) = (request.into_inner(), VecDeque::new());
        let _ = sessions.send(Session { requests, calls, answers, visitor });
        async { Ok::<_, Status>(Response::new(UnboundedReceiverStream::new(receiver))) }
    });
    let codec = tonic_prost::ProstCodec::<pb::SessionResponse, pb::SessionRequest>::default();
    Ok(tonic::server::Grpc::new(codec).streaming(method, request).await)
}

fn visitor_of(request: &Request<Streaming<pb::SessionRequest>>) -> Visitor {
    let authorization = request.metadata().get("authorization");
    let authorization = authorization.and_then(|text| text.to_str().ok()).unwrap_or_default();
    #[cfg(feature = "tls")]
    let certificate = request.peer_certs().and_then(|certs| Some(certs.first()?.to_vec()));
    #[cfg(not(feature = "tls"))]
    let certificate = None;
    Visitor {
        authorization: authorization.to_owned(),
        certificate: certificate.unwrap_or_default(),
    }
}

impl Session {
    /// The whole stream ends with this.
    pub fn refuses(&self, status: Status) {
        let _ = self.answers.send(Err(status));
    }

    /// The next step of any call.
    pub async fn hears(&mut self) -> (u64, Step) {
        self.hears_more().await.expect("a message")
    }

    /// The same; None: the client has said its last word.
    pub async fn hears_more(&mut self) -> Option<(u64, Step)> {
        loop {
            if let Some(call) = self.calls.pop_front() {
                return Some((call.id, call.step.expect("a step")));
            }
            let message = soon(self.requests.message()).await.unwrap()?;
            self.calls.extend(message.calls);
        }
    }

    pub async fn hears_join(&mut self) -> (u64, pb::Join) {
        match self.hears().await {
            (id, Step::Join(join)) => (id, join),
            other => panic!("{other:?}"),
        }
    }

    /// The id of the next renewal.
    pub async fn hears_renewal(&mut self) -> u64 {
        match self.hears().await {
            (_, Step::Renew(renew)) => renew.id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn hears_finish(&mut self) -> pb::Finish {
        loop {
            match self.hears().await {
                (_, Step::Finish(finish)) => return finish,
                (_, Step::Renew(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn says(&self, id: u64, answer: Answer) {
        let calls = vec![pb::CallResponse { id, step: Some(answer) }];
        let _ = self.answers.send(Ok(pb::SessionResponse { calls }));
    }

    pub fn renewed(&self, call: u64, id: u64) {
        self.says(call, Answer::Renewed(pb::Renewed { id, ..Default::default() }));
    }

    /// The result of a leader that the server has heard out.
    pub fn confirms(&self, id: u64, finish: pb::Finish) {
        let value_bytes = finish.outcome.as_ref().map_or(0, |outcome| outcome.value.len());
        let outcome = finish.outcome.map(|outcome| pb::Outcome { value: "".into(), ..outcome });
        self.says(
            id,
            Answer::Result(pb::Result {
                outcome,
                led: true,
                callers: 1,
                attempt: 1,
                token: 7,
                value_bytes: value_bytes as u64,
                ..Default::default()
            }),
        );
    }
}

pub(super) async fn soon<T>(future: impl std::future::Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it comes soon")
}
