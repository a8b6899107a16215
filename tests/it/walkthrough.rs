//! Runs the commands of README.md and of the first stream as a reader would paste them, with free ports
//! and a Redis of the test in place of the usual ones.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::harness::redis::Redis;

/// The longest time that all commands of a page may take, in seconds.
const SECS_MAX: u32 = 100;

/// The beginnings of lines that a reader needs and the test does not: the program is built already.
const BUILDING: [&str; 2] = ["cargo build", "export PATH="];

/// A page's commands, as one script.
struct Walkthrough {
    folder: tempfile::TempDir,
    redis: Redis,
    ports: [u16; 3],
}

impl Walkthrough {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bound = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
        let ports = bound.map(|bound| bound.local_addr().expect("it is bound").port());
        Self { folder, redis: Redis::start().await, ports }
    }

    /// Replaces the usual addresses.
    fn with_own_addresses(&self, commands: &str) -> String {
        let [public, internal, receiver] = self.ports;
        let kept = commands.lines().filter(|line| !BUILDING.iter().any(|b| line.starts_with(b)));
        let commands = kept.collect::<Vec<_>>().join("\n") + "\n";
        commands
            .replace("redis://127.0.0.1:6379", &self.redis.url())
            .replace("redis-cli ", &format!("redis-cli -s {} ", self.redis.socket().display()))
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{public}"))
            .replace("127.0.0.1:9090", &format!("127.0.0.1:{internal}"))
            .replace("localhost:8443", &format!("localhost:{receiver}"))
            .replace("receive push ", &format!("receive push --listen 127.0.0.1:{receiver} "))
    }

    /// Makes a script of blocks of commands. Before a block that contains one of the given texts, it
    /// waits for the condition beside the text, as a reader waits for what the page announces.
    fn script(&self, blocks: &[&str], conditions: &[(&str, &str)]) -> String {
        // The last line of the script ends the daemon, which is the first job of the shell.
        let mut script =
            "set -eu\ntrap 'kill $(jobs -p; cat receiver.pid 2>&-) 2>&- || :' EXIT\n".to_owned();
        for block in blocks {
            for (_, condition) in conditions.iter().filter(|(text, _)| block.contains(text)) {
                let condition = self.with_own_addresses(condition);
                writeln!(script, "until {}; do sleep 0.05; done", condition.trim_end())
                    .expect("a text grows");
            }
            let commands = self.with_own_addresses(block);
            if commands.starts_with("ssfd receive push") {
                // The reader's second terminal: no job of this shell.
                let commands = commands.trim_end();
                writeln!(script, "( {commands} >receiver.log 2>&1 & echo $! >receiver.pid )")
                    .expect("a text grows");
            } else {
                script += &commands;
            }
        }
        script
    }

    /// Runs a script. Returns its standard output and the lines of the pushed SETs.
    async fn run(&self, script: String) -> (String, String) {
        let folder = self.folder.path().to_owned();
        let [public, internal, _] = self.ports;
        let program = Path::new(env!("CARGO_BIN_EXE_ssfd")).parent().expect("a folder");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a PATH"));
        let run = tokio::task::spawn_blocking(move || -> Output {
            Command::new("timeout")
                .args([&SECS_MAX.to_string(), "bash", "-c", &script])
                .current_dir(folder)
                .env_clear()
                .env("PATH", path)
                .env("SSFD_PUBLIC__LISTEN", format!("127.0.0.1:{public}"))
                .env("SSFD_INTERNAL__LISTEN", format!("127.0.0.1:{internal}"))
                // Nobody waits for load balancers here.
                .env("SSFD_PROCESS__LAME_DUCK", "0s")
                .stdin(Stdio::null())
                .output()
                .expect("bash runs")
        });
        let output = run.await.expect("no panic");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{said}\n{errors}", output.status);
        let log = self.folder.path().join("trial/receiver.log");
        (said, fs::read_to_string(log).unwrap_or_default())
    }
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("the page is in the tree")
}

/// The blocks of shell commands in a text.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[actix_web::test]
async fn the_first_stream_of_the_readme_works() {
    let walkthrough = Walkthrough::new().await;
    let page = page("README.md");
    let (_, section) = page.split_once("## A first stream").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("a section behind it");
    let script = walkthrough.script(&blocks(section), &[]);
    let (said, _) = walkthrough.run(script).await;
    for expected in ["\"ready\":true", "laptop stolen", "\"verified\":true"] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
}

#[actix_web::test]
async fn the_first_stream_of_the_documentation_works() {
    let walkthrough = Walkthrough::new().await;
    let page = page("docs/start/first-stream.md");
    let conditions = [
        ("ssfd serve", "[ -s roots.pem ]"),
        ("-X DELETE", "[ \"$(grep -c session-revoked receiver.log)\" = 2 ]"),
        ("XREVRANGE", "[ \"$(redis-cli XLEN ssf:events:default:rejected)\" = 1 ]"),
    ];
    let script = walkthrough.script(&blocks(&page), &conditions);
    let (said, pushed) = walkthrough.run(script).await;
    for expected in [
        "{\"sets\":{\"",
        "{\"sets\":{}}",
        "invalid_field",
        "\"ready\":true",
        "ssfd_sets_delivered_total",
    ] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
    let verification = pushed.lines().filter(|line| line.contains("  verification  "));
    assert_eq!(verification.count(), 1, "{pushed}");
}

/// A daemon that reads a Redis, and a publisher's token, for pages that show single commands.
const PREPARED: &str = "ssfd keys generate --out keys/default.pem
export SSFD_INGEST__REDIS__URL=redis://127.0.0.1:6379
ssfd serve &
until curl -sf http://127.0.0.1:9090/readyz; do sleep 0.1; done
export SSFD_TOKEN=$(ssfd tokens create publisher)
";
const ENDED: &str = "kill %1; wait\n";

#[actix_web::test]
async fn the_commands_of_a_publisher_work() {
    let walkthrough = Walkthrough::new().await;
    let pages = ["docs/publish/redis.md", "docs/publish/examples.md"].map(page);
    let shown = pages.iter().flat_map(|page| blocks(page));
    let all: Vec<_> = [PREPARED].into_iter().chain(shown).chain([ENDED]).collect();
    let (said, _) = walkthrough.run(walkthrough.script(&all, &[])).await;
    assert!(said.contains("\"status\":\"accepted\""), "{said}");
}

/// The pages whose commands the tests above run.
const RUN: [&str; 4] = [
    "README.md",
    "docs/start/first-stream.md",
    "docs/publish/redis.md",
    "docs/publish/examples.md",
];

/// The pages whose commands are not run as they stand, with the reason.
const NOT_RUN: [(&str, &str); 18] = [
    ("docs/start/demo.md", "`command_line::demo` runs the demo"),
    ("docs/publish/events.md", "it names a file of the reader; `explain` tests the command"),
    ("docs/publish/http.md", "it names files of the reader; `publish_http` tests the requests"),
    ("docs/publish/identifiers.md", "it names a stream; `operating` tests the command"),
    ("docs/receive/authorization.md", "`oauth` and `command_line` test the commands"),
    ("docs/receive/authorization-servers.md", "it needs the reader's authorization server"),
    ("docs/receive/connect.md", "it names the reader's issuer; `spec` tests the requests"),
    ("docs/receive/push-and-poll.md", "it names the reader's issuer; `poll` tests the requests"),
    (
        "docs/receive/subjects-and-status.md",
        "it names the reader's issuer; `spec` tests the requests",
    ),
    ("docs/receive/testing.md", "it names the reader's issuer; `receive` tests the command"),
    ("docs/operate/production.md", "it installs a machine"),
    (
        "docs/operate/configuration.md",
        "it names the reader's file; `command_line` tests the commands",
    ),
    (
        "docs/operate/backup.md",
        "it stops a service; `command_line` and `store_copy` test the commands",
    ),
    ("docs/operate/streams.md", "it names a stream; `operating` tests the commands"),
    ("docs/operate/dead-letters.md", "it names a SET; `settled` and `explain` test the commands"),
    ("docs/operate/troubleshooting.md", "it names a stream; `operating` tests the commands"),
    ("docs/understand/performance.md", "benchmarks take minutes on an idle machine"),
    ("docs/change/building.md", "it builds and tests, as this test does"),
];

#[test]
fn each_page_with_commands_is_run_or_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = crate::layers::files(&root.join("docs"), &["md"]);
    let pages = pages.into_iter().chain([root.join("README.md")]);
    for path in pages {
        let name = path.strip_prefix(root).expect("below the root").to_str().expect("ASCII");
        let has_commands = !blocks(&page(name)).is_empty();
        let is_known = RUN.contains(&name) || NOT_RUN.iter().any(|(page, _)| *page == name);
        assert!(!has_commands || is_known, "{name}: run its commands, or say why not");
    }
}
