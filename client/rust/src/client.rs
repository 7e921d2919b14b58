// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;

use bytes::Bytes;

use crate::call::Call;
use crate::codec::{Codec, Json};
use crate::engine::{connect, Inner};
use crate::error::StatusError;
use crate::options::{ClientBuilder, Settings};
use crate::pb::singleflight as pb;

/// A connection to one or more servers. Cheap to clone; equal calls are merged inside of one
/// client, so one per process is the usual number. When the last clone is dropped, it is closed.
///
/// `C` is how the values of its calls become bytes.
#[derive(Clone)]
pub struct Client<C = Json> {
    handle: Arc<Handle>,
    codec: C,
}

pub(crate) struct Handle {
    pub inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.on_unowned();
    }
}

/// What a [`Client::forget`] has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// A flight that new callers would have joined.
    pub flight: bool,
    /// A retained outcome.
    pub retained: bool,
    /// A flight that ran was ended, too.
    pub ended: bool,
}

impl Client {
    /// Settings to make a client with.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }
}

impl<C: Codec> Client<C> {
    pub(crate) fn start(settings: Settings, codec: C, runtime: tokio::runtime::Handle) -> Self {
        let handle = Arc::new(Handle { inner: Inner::start(settings, runtime) });
        Client { handle, codec }
    }

    /// Asks for the work that `key` stands for: 1 to 1,024 bytes, any bytes. Set options, then
    /// [`run`](Call::run) it.
    pub fn call(&self, key: impl AsRef<[u8]>) -> Call<C> {
        Call::new(self.handle.clone(), self.codec.clone(), key.as_ref())
    }

    /// Makes the next caller of the key start anew. `if_unshared`: only if its flight has no
    /// followers. The group "" is "default".
    ///
    /// # Errors
    /// `Unavailable`: the key's server cannot be reached within connect_timeout.
    pub async fn forget(
        &self,
        group: &str,
        key: impl AsRef<[u8]>,
        if_unshared: bool,
    ) -> Result<Forgotten, StatusError> {
        let request = pb::ForgetRequest { if_unshared, ..self.asking(group, key.as_ref()) };
        self.ask_to_forget(request).await
    }

    /// [`forget`](Client::forget), and ends the flight that runs: its leader is fenced, and its
    /// followers get `Aborted`, which names this client's caller. A server of the first edition
    /// only forgets; `ended` tells.
    ///
    /// # Errors
    /// As `forget`.
    pub async fn end(
        &self,
        group: &str,
        key: impl AsRef<[u8]>,
        if_unshared: bool,
    ) -> Result<Forgotten, StatusError> {
        let caller = self.handle.inner.settings.caller.to_string();
        let asking = self.asking(group, key.as_ref());
        let request = pb::ForgetRequest { if_unshared, end: true, caller, ..asking };
        self.ask_to_forget(request).await
    }

    #[cfg(all(test, feature = "tls"))]
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    fn asking(&self, group: &str, key: &[u8]) -> pb::ForgetRequest {
        pb::ForgetRequest {
            group: group.to_owned(),
            key: Bytes::copy_from_slice(key),
            ..Default::default()
        }
    }

    async fn ask_to_forget(&self, request: pb::ForgetRequest) -> Result<Forgotten, StatusError> {
        let inner = &self.handle.inner;
        let (group, key) = (request.group.clone(), request.key.clone());
        let address = &inner.settings.addresses[inner.home(&group, &key)];
        let asked = async {
            let channel = connect(&inner.settings, address).await.map_err(|why| why.status)?;
            pb::single_flight_client::SingleFlightClient::new(channel)
                .forget(inner.settings.request(request))
                .await
        };
        let answer = tokio::time::timeout(inner.settings.attempt_timeout(), asked).await;
        let answer = answer
            .unwrap_or_else(|_| Err(tonic::Status::unavailable("no answer in time")))
            .map_err(|status| {
                let text = format!("forget at {address}: {}", status.message());
                StatusError::new(status.code(), text)
            })?
            .into_inner();
        if answer.flight {
            inner.forgot(&group, &key);
        }
        Ok(Forgotten { flight: answer.flight, retained: answer.retained, ended: answer.ended })
    }

    /// Ends every call that is left with `Cancelled` (leaders are told that they lost the lead, and
    /// their followers elsewhere go on without them), and waits until the connections are closed.
    /// May be called again. A client that is dropped goes on with the functions that somebody
    /// elsewhere waits for, and closes then.
    pub async fn close(&self) {
        self.handle.inner.close();
        self.handle.inner.end().await;
    }
}

impl<C> std::fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses = &self.handle.inner.settings.addresses;
        f.debug_struct("Client").field("addresses", addresses).finish_non_exhaustive()
    }
}
