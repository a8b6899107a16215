//! Checks that all linked packages use one TLS and crypto provider, aws-lc-rs. `deny.toml` says the
//! same, but cargo-deny is not installed everywhere.

use std::{collections::BTreeSet, env, process::Command};

#[test]
fn aws_lc_rs_is_the_only_crypto_provider() {
    let linked = linked();
    for wanted in ["aws-lc-rs", "rustls"] {
        assert!(linked.contains(wanted), "`cargo tree` did not list {wanted}");
    }
    for unwanted in ["native-tls", "openssl", "openssl-sys", "ring"] {
        assert!(!linked.contains(unwanted), "`cargo tree -i {unwanted}` shows what depends on it");
    }
}

/// Returns the names of the packages that the daemon consists of on this platform. `Cargo.lock`
/// lists more: also the packages of other platforms and of disabled features.
fn linked() -> BTreeSet<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--edges", "normal,build"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo has built this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("package names are ASCII");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}
