// SPDX-License-Identifier: Apache-2.0
//! A relay between a client and a daemon, which can cut the connections or swallow what passes.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Open,
    Swallows, // takes bytes, and they arrive nowhere
    Cut,
}

pub struct Relay {
    pub address: String,
    way: Arc<watch::Sender<Way>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub async fn to(address: &str) -> Self {
        let target: SocketAddr = address.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let way = Arc::new(watch::channel(Way::Open).0);
        let mut tasks = JoinSet::new();
        let changes = way.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(carry(near, target, changes.subscribe()));
            }
        });
        Relay { address, way, _tasks: tasks }
    }

    /// What passes from now on arrives nowhere, and nobody is told.
    pub fn swallow(&self) {
        self.way.send_replace(Way::Swallows);
    }

    /// Ends all connections, and those that come.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    pub fn open(&self) {
        self.way.send_replace(Way::Open);
    }
}

async fn carry(near: TcpStream, target: SocketAddr, way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let mut cut = way.clone();
    tokio::select! {
        () = pass(near_in, far_out, way.clone()) => {}
        () = pass(far_in, near_out, way) => {}
        _ = cut.wait_for(|way| *way == Way::Cut) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: watch::Receiver<Way>) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(count) = from.read(&mut bytes).await else { return };
        let swallows = *way.borrow() == Way::Swallows;
        if count == 0 || (!swallows && to.write_all(&bytes[..count]).await.is_err()) {
            return;
        }
    }
}
