// SPDX-License-Identifier: Apache-2.0
//! A daemon for one test: SINGLEFLIGHTD names the program, or it is that of the build folder.

#![allow(dead_code)] // each test program uses a part of it

pub mod relay;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
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

/// A folder with the certificates of tests/support/certificates, and the token of `app`.
pub struct Certificates(PathBuf);

impl Certificates {
    pub fn new(name: &str) -> Self {
        let name = format!("sfl-rust-certificates-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/support/certificates");
        assert!(Command::new(script).arg(&folder).status().unwrap().success());
        let certificates = Certificates(folder);
        certificates.write("token", "s3cret\n");
        // Of "s3cret", by sha256sum.
        let digest = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";
        certificates.write("tokens", &format!("app {digest}\n"));
        certificates
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// A daemon that asks for a certificate, and knows the token.
    pub fn daemon(&self, more: &[&str]) -> Daemon {
        let files = ["server.pem", "server.key", "ca.pem", "tokens"].map(|name| self.path(name));
        let [cert, key, ca, tokens] = files.each_ref().map(|path| path.to_str().unwrap());
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
        arguments.extend(["--tls-client-ca", ca, "--token-file", tokens]);
        arguments.extend(more);
        Daemon::start_with(&arguments)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
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
