// SPDX-License-Identifier: Apache-2.0
//! README.md, line by line: what it says to type is typed in an empty folder.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Certificates, Daemon};

fn blocks(language: &str) -> Vec<String> {
    let text = include_str!("../README.md");
    let fences = text.split("```").skip(1).step_by(2);
    let of_language = fences.filter_map(|block| block.strip_prefix(language));
    of_language.filter_map(|block| block.strip_prefix('\n')).map(str::to_owned).collect()
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sfl-rust-readme-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let (stdout, stderr) = (out.stdout, String::from_utf8_lossy(&out.stderr).into_owned());
    assert!(out.status.success(), "{command:?}: {stderr}");
    String::from_utf8(stdout).unwrap()
}

// The clone is the tree that this test belongs to, and no registry is asked: the crates are those
// of our own lock file.
fn install(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    std::os::unix::fs::symlink(root, folder.join("singleflightd")).unwrap();
    let typed = blocks("sh").concat(); // the second one in the folder that the first has made
    let (clone, rest) = typed.split_once('\n').unwrap();
    assert!(clone.starts_with("git clone "), "{clone}");
    let script = format!("set -e\nexport CARGO_NET_OFFLINE=true\n{rest}");
    output(Command::new("sh").arg("-c").arg(script).current_dir(folder));
    std::fs::copy(root.join("client/rust/Cargo.lock"), folder.join("app/Cargo.lock")).unwrap();
}

#[test]
fn its_lines_install_and_its_program_runs() {
    let daemon = Daemon::start();
    let folder = folder();
    install(&folder);
    let app = folder.join("app");
    let certificates = Certificates::new("readme");
    std::os::unix::fs::symlink(certificates.path(""), app.join("certs")).unwrap();
    let secure = certificates.daemon(&[]);
    let programs = blocks("rust");
    let promises: [(&Daemon, &str, &[&str]); 4] = [
        (&daemon, "run", &["I lead, with token", "name: \"Ann\" } led=true callers=1"]),
        (&secure, "run", &["secure: Ann"]),
        (&daemon, "run", &["default leader OK ok"]),
        (&daemon, "test", &["2 passed"]),
    ];
    assert_eq!(programs.len(), promises.len());
    for (program, (daemon, what, promised)) in programs.into_iter().zip(promises) {
        std::fs::write(app.join("src/main.rs"), program).unwrap();
        let said = output(
            Command::new(env!("CARGO"))
                .args([what, "--quiet", "--offline"])
                .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme"))
                .env("SINGLEFLIGHT_ADDRESS", &daemon.address)
                .current_dir(&app),
        );
        for promise in promised {
            assert!(said.contains(promise), "{promise}: {said}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn it_has_no_link_that_breaks_on_a_package_page() {
    for link in include_str!("../README.md").split("](").skip(1) {
        assert!(link.starts_with("https://"), "{}", &link[..link.len().min(60)]);
    }
}
