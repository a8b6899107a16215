//! Runs the command `ssfd` as an operator of the daemon would.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::daemon::Daemon;

impl Daemon {
    /// Runs the real binary against this daemon, with an operator's token.
    pub(crate) async fn ssfd(&self, args: &[&str]) -> Output {
        let mut ssfd = Command::new(env!("CARGO_BIN_EXE_ssfd"));
        ssfd.env_clear().env("SSFD_TOKEN", self.operator_token().await);
        // The command reads nothing from the configuration except the names of the providers.
        ssfd.env(format!("SSFD_PROVIDERS__{}__ISSUER", self.provider()), "https://tx.example");
        ssfd.args(args).args(["--url", &self.internal_url("")]).stdin(Stdio::null());
        // The command must not block this thread, because the test's Receivers run on it.
        let run = tokio::task::spawn_blocking(move || ssfd.output());
        run.await.expect("no panic").expect("ssfd runs")
    }

    /// Runs a command that must succeed. Returns its text output.
    pub(crate) async fn ssfd_says(&self, args: &[&str]) -> String {
        let output = self.ssfd(args).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command with `--json` that must succeed. Returns its output.
    pub(crate) async fn ssfd_json(&self, args: &[&str]) -> Value {
        let text = self.ssfd_says(&[args, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// Runs a command that must fail. Returns its error text.
    pub(crate) async fn ssfd_fails(&self, args: &[&str]) -> String {
        let output = self.ssfd(args).await;
        assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("UTF-8")
    }
}
