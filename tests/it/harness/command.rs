//! The command `ssfd` as an operator of the daemon runs it.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::daemon::Daemon;

impl Daemon {
    /// Runs the real command against this daemon, with an operator's token.
    pub(crate) async fn ssfd(&self, args: &[&str]) -> Output {
        let mut ssfd = Command::new(env!("CARGO_BIN_EXE_ssfd"));
        ssfd.env_clear().env("SSFD_TOKEN", self.operator_token().await);
        // Of the configuration nothing is needed but which providers there are.
        ssfd.env(format!("SSFD_PROVIDERS__{}__ISSUER", self.provider()), "https://tx.example");
        ssfd.args(args).args(["--url", &self.internal_url("")]).stdin(Stdio::null());
        // On another thread: the Receivers of this test are on this one.
        let run = tokio::task::spawn_blocking(move || ssfd.output());
        run.await.expect("no panic").expect("ssfd runs")
    }

    /// What it prints for a user, who gets what was asked for.
    pub(crate) async fn ssfd_says(&self, args: &[&str]) -> String {
        let output = self.ssfd(args).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What it prints for a machine.
    pub(crate) async fn ssfd_json(&self, args: &[&str]) -> Value {
        let text = self.ssfd_says(&[args, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// What it says when it fails.
    pub(crate) async fn ssfd_fails(&self, args: &[&str]) -> String {
        let output = self.ssfd(args).await;
        assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("UTF-8")
    }
}
