//! Runs README.md and the page of the first stream, which begin with nothing but the program.

use std::{fmt::Write as _, fs};

use super::{commands, page, place::Place};

/// The beginnings of lines that a reader needs and the test does not: the program is built already.
const BUILDING: [&str; 2] = ["cargo build", "export PATH="];

/// Makes one script of blocks of commands. Before a block that contains one of the given texts, it waits
/// for the condition beside the text, as a reader waits for an announcement of the page.
fn script(place: &Place, blocks: &[String], conditions: &[(&str, &str)]) -> String {
    let own = |text: &str| {
        let kept = text.lines().filter(|line| !BUILDING.iter().any(|b| line.starts_with(b)));
        let text = kept.collect::<Vec<_>>().join("\n") + "\n";
        let other = place.other;
        place
            .with_own_addresses(&text)
            .replace("localhost:8443", &format!("localhost:{other}"))
            .replace("receive push ", &format!("receive push --listen 127.0.0.1:{other} "))
    };
    // The last line of the script ends the daemon, which is the first job of the shell.
    let mut script =
        "set -eu\ntrap 'kill $(jobs -p; cat receiver.pid 2>&-) 2>&- || :' EXIT\n".to_owned();
    for block in blocks {
        for (_, condition) in conditions.iter().filter(|(text, _)| block.contains(text)) {
            let condition = own(condition);
            writeln!(script, "until {}; do sleep 0.05; done", condition.trim_end())
                .expect("a text grows");
        }
        let commands = own(block);
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

async fn run(place: &Place, script: String) -> String {
    let variables = [
        ("SSFD_PUBLIC__LISTEN", format!("127.0.0.1:{}", place.public)),
        ("SSFD_INTERNAL__LISTEN", format!("127.0.0.1:{}", place.internal)),
    ];
    place.run(script, &variables).await
}

#[actix_web::test]
async fn the_commands_of_the_readme_work() {
    let place = Place::new().await;
    let script = script(&place, &commands(&page("README.md")), &[]);
    let said = run(&place, script).await;
    for expected in ["\"ready\":true", "laptop stolen", "verified RS256"] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
}

#[actix_web::test]
async fn the_commands_of_the_first_stream_work() {
    let place = Place::new().await;
    let conditions = [
        ("ssfd serve", "[ -s roots.pem ]"),
        ("-X DELETE", "[ \"$(grep -c '  session-revoked  ' receiver.log)\" = 2 ]"),
        ("XREVRANGE", "[ \"$(redis-cli XLEN ssf:events:default:rejected)\" = 1 ]"),
    ];
    let script = script(&place, &commands(&page("docs/start/first-stream.md")), &conditions);
    let said = run(&place, script).await;
    for expected in [
        "{\"sets\":{\"",
        "{\"sets\":{}}",
        "invalid_field",
        "\"ready\":true",
        "ssfd_sets_delivered_total",
    ] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
    let pushed = fs::read_to_string(place.path("trial/receiver.log")).expect("it was written");
    let verification = pushed.lines().filter(|line| line.contains("  verification  "));
    assert_eq!(verification.count(), 1, "{pushed}");
}
