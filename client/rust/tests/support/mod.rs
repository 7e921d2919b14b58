// SPDX-License-Identifier: Apache-2.0
//! A daemon for one test: SINGLEFLIGHTD names the program, or it is that of the build folder.

#![allow(dead_code)] // each test program uses a part of it

pub mod relay;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use singleflightd::{Client, ClientBuilder};

pub struct Daemon {
    child: Child,
    pub address: String,
}

fn program() -> String {
    std::env::var("SINGLEFLIGHTD").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../build/bin/singleflightd").to_owned()
    })
}

impl Daemon {
    pub fn start() -> Self {
        Daemon::start_with(&["--listen", "127.0.0.1:0"])
    }

    /// Starts one with these arguments; they name one listener.
    pub fn start_with(arguments: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(arguments)
            .args(["--log-level", "error"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("SINGLEFLIGHTD is the daemon's program");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Daemon { child, address }
    }

    pub fn client(&self) -> Client {
        self.client_with(Client::builder())
    }

    pub fn client_with(&self, builder: ClientBuilder) -> Client {
        builder.address(&self.address).build().expect("an address")
    }

    /// SIGTERM: it drains.
    pub fn drain(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for the end.
    pub async fn ended(&mut self) {
        // poll: std has no other way to wait for a child beside others
        while self.child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address where nobody listens.
pub fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// What should come at once, comes within this.
pub async fn soon<T>(future: impl std::future::Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it comes soon")
}
