// SPDX-License-Identifier: Apache-2.0
//! Certificates and tokens, and files of theirs that change.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::Status;

use super::fake::{soon, Fake, Session};
use crate::pb::singleflight as pb;
use crate::{Client, ClientBuilder, Code, Error};
use pb::call_response::Step as Answer;

/// A folder with the certificates of tests/support/certificates.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("sfl-rust-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/support/certificates");
        assert!(Command::new(script).arg(&folder).status().unwrap().success());
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
        self.path(name)
    }

    /// A server that asks for a certificate.
    async fn server(&self) -> Fake {
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(self.read("server.pem"), self.read("server.key")))
            .client_ca_root(Certificate::from_pem(self.read("ca.pem")));
        Fake::start_with(Server::builder().tls_config(tls).unwrap()).await
    }

    fn alice(&self, fake: &Fake) -> ClientBuilder {
        Client::builder()
            .address(&fake.address)
            .tls_ca(self.path("ca.pem"))
            .tls_cert(self.path("alice.pem"))
            .tls_key(self.path("alice.key"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Asks for the key, on a session that is open or on the next one; then that one is left.
async fn visit(client: &Client, fake: &mut Fake) -> Session {
    let call = client.call("k").run(|_| async { Ok::<_, Infallible>(0) });
    let call = tokio::spawn(call);
    let mut session = fake.session().await;
    serve(&mut session).await.expect("a join");
    assert_eq!(soon(call).await.unwrap().unwrap().value, 1);
    session
}

/// Answers a join with an outcome; None: none comes any more.
async fn serve(session: &mut Session) -> Option<()> {
    let (id, _) = session.hears_more().await?;
    session.says(id, Answer::Follow(pb::Follow { attempt: 1, ..Default::default() }));
    let outcome =
        pb::Outcome { kind: pb::OutcomeKind::Ok.into(), value: "1".into(), ..Default::default() };
    let result = pb::Result { outcome: Some(outcome), value_bytes: 1, ..Default::default() };
    session.says(id, Answer::Result(result));
    Some(())
}

/// A certificate has its name in it as it is.
fn is_of(session: &Session, name: &str) -> bool {
    session.visitor.certificate.windows(name.len()).any(|part| part == name.as_bytes())
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let folder = Folder::new("both");
    let mut fake = folder.server().await;
    let token = folder.write("token", "  s3cret\n");
    let client = folder.alice(&fake).token_file(token).build().unwrap();
    let session = visit(&client, &mut fake).await;
    assert!(is_of(&session, "alice") && !is_of(&session, "bob"));
    assert_eq!(session.visitor.authorization, "Bearer s3cret");
}

#[tokio::test]
async fn another_certificate_is_shown_by_the_next_connection() {
    let folder = Folder::new("reload");
    let mut fake = folder.server().await;
    let client = folder.alice(&fake).build().unwrap();
    assert!(is_of(&visit(&client, &mut fake).await, "alice")); // which is left, and then there is none
    folder.write("alice.pem", "no certificate");
    assert!(is_of(&visit(&client, &mut fake).await, "alice"));
    folder.write("alice.key", folder.read("bob.key"));
    folder.write("alice.pem", folder.read("bob.pem"));
    assert!(is_of(&visit(&client, &mut fake).await, "bob"));
}

#[tokio::test]
async fn another_token_is_shown_by_the_calls_after_it() {
    let folder = Folder::new("token");
    let mut fake = Fake::start().await;
    let path = folder.write("token", "old");
    let client = Client::builder().address(&fake.address).token_file(&path).build().unwrap();
    let mut session = visit(&client, &mut fake).await;
    assert_eq!(session.visitor.authorization, "Bearer old");
    folder.write("token", "new");
    let asks = async {
        loop {
            let call = client.call("k").run(|_| async { Ok::<_, Infallible>(0) });
            assert_eq!(call.await.unwrap().value, 1);
        }
    };
    let serves = async {
        while serve(&mut session).await.is_some() {}
        std::future::pending::<()>().await;
    };
    let next = tokio::select! {
        () = asks => unreachable!("it asks on"),
        () = serves => unreachable!("it serves on"),
        next = fake.session() => next,
    };
    assert_eq!(next.visitor.authorization, "Bearer new");
}

#[tokio::test]
async fn a_name_may_be_verified_instead_of_the_address() {
    let folder = Folder::new("name");
    let mut fake = folder.server().await;
    let other = folder.alice(&fake).tls_server_name("other.example");
    let client = other.connect_timeout(Duration::from_millis(300)).build().unwrap();
    let error = client.call("k").run(|_| async { Ok::<_, Infallible>(0) }).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Unavailable), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let client = folder.alice(&fake).tls_server_name("localhost").build().unwrap();
    visit(&client, &mut fake).await;
}

#[tokio::test]
async fn what_cannot_secure_a_connection_is_refused_at_once() {
    let folder = Folder::new("refused");
    let path = |name: &str| folder.path(name);
    let empty = folder.write("empty", " \n");
    let words = folder.write("words", "two words");
    let token = folder.write("token", "s3cret");
    let new = Client::builder;
    let secure = || new().tls_ca(path("ca.pem"));
    let away = || new().address("localhost:1").address("db.example:7433").token_file(&token);
    for (want, builder) in [
        ("tls_ca (SINGLEFLIGHT_TLS_CA) is missing", new().tls_cert(path("alice.pem"))),
        ("says whom to trust", new().tls_server_name("localhost")),
        ("need each other", secure().tls_cert(path("alice.pem"))),
        ("need each other", secure().tls_key(path("alice.key"))),
        ("tls_ca: ", new().tls_ca(path("gone"))),
        ("no CERTIFICATE in PEM form", new().tls_ca(&empty)),
        ("KeyMismatch", secure().tls_cert(path("alice.pem")).tls_key(path("bob.key"))),
        ("no PRIVATE KEY", secure().tls_cert(path("alice.pem")).tls_key(path("bob.pem"))),
        ("token_file: ", new().token_file(path("gone"))),
        ("is empty", new().token_file(&empty)),
        ("does not hold one token", new().token_file(&words)),
        ("in plain text to db.example:7433", away()),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains(want), "{want}: {error}");
    }
    away().tls_ca("system").build().unwrap();
    for local in ["[::1]:1", "127.9.9.9:1", "LocalHost:1", "unix:/s"] {
        new().address(local).token_file(&token).build().unwrap();
    }
}

#[tokio::test]
async fn a_unix_socket_is_plain() {
    let folder = Folder::new("unix");
    let settings = folder.alice(&Fake::start().await);
    let client = settings.address("unix:/nowhere").build().unwrap();
    let settings = &client.handle().inner.settings;
    assert!(settings.tls_for("unix:/nowhere").is_none());
    assert!(settings.tls_for(&settings.addresses[0]).is_some());
}

/// After `connect_timeout` a server without an answer is given up; one that refuses is none.
#[tokio::test]
async fn who_is_not_welcome_never_fails_open() {
    for refuses_streams in [true, false] {
        let mut fake = Fake::start().await;
        let bound = Duration::from_millis(500);
        let client = Client::builder().address(&fake.address).connect_timeout(bound);
        let client = client.fail_open(true).build().unwrap();
        let serves = async {
            loop {
                let mut session = fake.session().await;
                let (id, _) = session.hears_join().await;
                if refuses_streams {
                    session.refuses(Status::unauthenticated("a token is needed"));
                } else {
                    let message = "a token is needed".to_owned();
                    let end = pb::End { code: Code::Unauthenticated.into(), message };
                    session.says(id, Answer::End(end));
                }
            }
        };
        let asks = async {
            let began = std::time::Instant::now();
            while began.elapsed() < 2 * bound {
                let call = client.call("k").connect_timeout(Duration::from_secs(30));
                let error = call.run(|_| async { Ok::<_, Infallible>(0) }).await.unwrap_err();
                assert!(matches!(&error, Error::Status(why) if why.message == "a token is needed"));
                assert_eq!(error.code(), Some(Code::Unauthenticated));
            }
        };
        tokio::select! {
            () = asks => {}
            () = serves => unreachable!("it serves on"),
        }
    }
}
