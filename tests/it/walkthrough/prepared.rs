//! Runs the pages that presuppose a daemon with a stream, credentials and events.

use std::fs;

use super::{Runner, commands, page, pages, place::Place, runner_of};

/// Starts the daemon and prepares what the pages presuppose. Then the script `page.sh` runs in the same
/// shell.
const PREPARED: &str = include_str!("../../data/walkthrough/prepared.sh");

/// Replaces the invented addresses and folders of a page. A Receiver that would run on ends.
fn with_own_names(place: &Place, text: &str) -> String {
    let (public, other, root) = (place.public, place.other, place.root());
    let text = place
        .with_own_addresses(text)
        .replace("redis://127.0.0.1 ", &format!("{} ", place.redis_url()))
        .replace("https://tx.example", &format!("https://localhost:{public}"))
        .replace("https://rx.example/in", &format!("https://localhost:{other}/in"))
        .replace("/etc/ssfd/", &format!("{root}/"))
        .replace("/var/lib/ssfd/", &format!("{root}/"))
        .replace("/var/backups/", &format!("{root}/"))
        .replace("receive push ", &format!("receive push --listen 127.0.0.1:{other} "));
    let runs_on = |line: &str| line.starts_with("ssfd receive ") && !line.contains(" --count ");
    let lines = text.lines();
    let lines = lines
        .map(|line| if runs_on(line) { format!("{line} --timeout 1s") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Runs commands after the preparation, and returns their standard output. `token_file` has the token
/// that `SSFD_TOKEN` holds.
pub(super) async fn run(place: &Place, commands: &str, token_file: &str) -> String {
    place.certify("tls");
    fs::write(place.path("page.sh"), with_own_names(place, commands)).expect("written");
    let variables = [
        ("REDIS_URL", place.redis_url()),
        ("PUBLIC", place.public.to_string()),
        ("INTERNAL", place.internal.to_string()),
        ("TOKEN_FILE", token_file.to_owned()),
    ];
    place.run(format!("{PREPARED}\nset -x\n. ./page.sh\nset +x\n"), &variables).await
}

/// Runs each page below a folder with a daemon of its own.
async fn run_below(folder: &str, token_file: &str) {
    let names = pages().into_iter().filter(|name| name.starts_with(folder));
    let names = names.filter(|name| runner_of(name) == Some(Runner::Prepared));
    let mut run_pages = 0;
    for name in names {
        let commands = commands(&page(&name));
        if !commands.is_empty() {
            eprintln!("{name}");
            run(&Place::new().await, &commands.concat(), token_file).await;
            run_pages += 1;
        }
    }
    assert!(1 < run_pages, "the pages below {folder} were not found");
}

#[actix_web::test]
async fn the_commands_of_a_publisher_work() {
    run_below("docs/publish/", "publisher.token").await;
}

#[actix_web::test]
async fn the_commands_of_a_receiver_work() {
    run_below("docs/receive/", "receiver.token").await;
}

#[actix_web::test]
async fn the_commands_of_an_operator_work() {
    run_below("docs/operate/", "operator.token").await;
}
