//! Generates the pages below `docs/reference` from the code, and fails where a page in the tree is
//! another. `make reference` writes the pages.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use ssfd::domain::{
    reason::Reason,
    schema::{FAMILIES, Member, Presence},
};

/// The environment variable that asks to write the pages instead of comparing them.
const WRITE: &str = "SSFD_TEST_WRITE_REFERENCE";

/// The sentence below the title of each page.
const GENERATED: &str = "This page is generated from the code by `make reference`.";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a generated page with that in the tree, or writes it.
fn hold(name: &str, title: &str, body: &str) {
    let page = format!("# {title}\n\n{GENERATED}\n\n{}\n", body.trim_end());
    let path = Path::new("docs/reference").join(name);
    let path = path.to_str().expect("ASCII");
    if env::var_os(WRITE).is_some() {
        fs::write(root().join(path), page).expect("a page can be written");
    } else {
        assert!(read(path) == page, "{path} is out of date: run `make reference`");
    }
}

/// A cell of a table: one line, without a bar that would end it.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn help(command: &[&str]) -> String {
    let mut ssfd = Command::new(env!("CARGO_BIN_EXE_ssfd"));
    let output = ssfd.env_clear().args(command).arg("-h").output().expect("ssfd runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.trim_end().to_owned()
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn describe_command(page: &mut String, command: &[&str]) {
    let name = [&["ssfd"][..], command].concat().join(" ");
    let help = help(command);
    write!(page, "## {name}\n\n```text\n{help}\n```\n\n").expect("a text grows");
    for sub in subcommands(&help) {
        describe_command(page, &[command, &[sub.as_str()]].concat());
    }
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let mut page = String::new();
    describe_command(&mut page, &[]);
    hold("command-line.md", "Command line", &page);
}

#[test]
fn the_page_of_the_configuration_is_up_to_date() {
    let body = format!("```toml\n{}\n```", read("config/ssfd.toml").trim_end());
    hold("configuration.md", "Configuration keys", &body);
}

/// The rows of one heading in the page of the HTTP interface.
fn operations(document: &Value, tag: &str) -> String {
    let mut rows = String::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            let operation = &item[method];
            if operation["tags"][0] != tag {
                continue;
            }
            let caller = caller(&operation["security"]);
            let summary = operation["summary"].as_str().expect("a summary");
            let method = method.to_uppercase();
            writeln!(rows, "| `{method} {path}` | {} | {caller} |", cell(summary))
                .expect("a text grows");
        }
    }
    rows
}

/// The credentials of an operation, each of which is enough.
fn caller(security: &Value) -> String {
    let ways = security.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
    let way = |(kind, scopes): (&String, &Value)| {
        let scopes = scopes.as_array().into_iter().flatten().filter_map(Value::as_str);
        let scopes: Vec<_> = scopes.map(|scope| format!("`{scope}`")).collect();
        if scopes.is_empty() { kind.clone() } else { format!("{kind}, {}", scopes.join(" ")) }
    };
    let ways: Vec<_> = ways.map(way).collect();
    if ways.is_empty() { "anyone".to_owned() } else { ways.join("; ") }
}

#[test]
fn the_page_of_the_http_interface_is_up_to_date() {
    let document: Value = serde_json::from_str(&read("openapi.json")).expect("JSON");
    let mut page =
        "`openapi.json` has parameters, bodies and answers. Paths of Receivers are below \
                    the issuer, all others at the internal listener.\n\n"
            .to_owned();
    for tag in document["tags"].as_array().expect("tags") {
        let name = tag["name"].as_str().expect("a name");
        let about = tag["description"].as_str().expect("a description");
        let rows = operations(&document, name);
        writeln!(page, "## {name}\n\n{about}\n\n| operation | | caller |\n|---|---|---|\n{rows}")
            .expect("a text grows");
    }
    hold("http-api.md", "HTTP interface", &page);
}

/// A metric, as its entry in the table says.
struct Metric {
    name: String,
    kind: String,
    labels: Vec<String>,
    help: String,
}

/// Reads the table of metrics in `src/telemetry/metrics.rs`.
fn metrics(source: &str) -> Vec<Metric> {
    let (_, table) = source.split_once("\nmetrics! {\n").expect("the table");
    let (table, _) = table.split_once("\n}\n").expect("its end");
    let (mut metrics, mut help, mut entry) = (Vec::new(), String::new(), String::new());
    for line in table.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            help += text;
        } else if !line.starts_with("//") {
            entry += line;
            if let Some(text) = entry.strip_suffix(';') {
                metrics.push(metric(text, &help));
                (help, entry) = (String::new(), String::new());
            }
        }
    }
    metrics
}

/// Reads an entry such as `counter "ssfd_x_total" = x(provider: &ProviderName) by count: usize`.
fn metric(entry: &str, help: &str) -> Metric {
    let mut quoted = entry.split('"');
    let kind = quoted.next().expect("a kind").trim();
    // A `held` metric counts the guards that are held, which is a gauge.
    let kind = if kind == "held" { "gauge" } else { kind };
    let name = quoted.next().expect("a name").to_owned();
    let (_, arguments) = entry.split_once('(').expect("arguments");
    let (arguments, _) = arguments.split_once(')').expect("their end");
    let labels = arguments.split(',').filter_map(|argument| argument.split_once(':'));
    let labels = labels.map(|(label, _)| format!("`{}`", label.trim())).collect();
    Metric { name, kind: kind.to_owned(), labels, help: cell(help) }
}

#[test]
fn the_page_of_metrics_is_up_to_date() {
    let mut page = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
    let metrics = metrics(&read("src/telemetry/metrics.rs"));
    assert!(20 < metrics.len(), "the table was not read");
    for Metric { name, kind, labels, help } in metrics {
        let labels = labels.join(", ");
        writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").expect("a text grows");
    }
    hold("metrics.md", "Metrics", &page);
}

#[test]
fn the_page_of_reasons_is_up_to_date() {
    let rows = |reasons: &[Reason]| {
        let row =
            |reason: &Reason| format!("| `{}` | {} |\n", reason.label(), cell(reason.sentence()));
        reasons.iter().map(row).collect::<String>()
    };
    let page = format!(
        "[Outcomes of a push](../operate/delivery.md) has the outcomes of attempts, and \
         [dead letters](../operate/dead-letters.md#dead-letters) the remedies.\n\n\
         ## A stream has no SET of an event\n\n| reason | meaning |\n|---|---|\n{}\n\
         ## A SET is a dead letter\n\n| reason | meaning |\n|---|---|\n{}",
        rows(&Reason::WITHOUT_SET),
        rows(&Reason::DEAD)
    );
    hold("reasons.md", "Reasons", &page);
}

fn member_row(member: &Member) -> String {
    let presence = match member.presence {
        Presence::Required => "required".to_owned(),
        Presence::Recommended => "recommended".to_owned(),
        Presence::RecommendedWith(other) => format!("recommended with `{other}`"),
        Presence::Optional => "optional".to_owned(),
    };
    let rule = cell(&member.rule.demand());
    format!("| `{}` | {presence} | must {rule} |\n", member.name)
}

#[test]
fn the_page_of_event_types_is_up_to_date() {
    let mut page =
        "`caep:` and `risc:` types are offered by every provider, others if the provider \
                    lists them. A provider that does not list `oauth:token-revoked` makes a \
                    `caep:session-revoked` of it. Only the Transmitter sends `ssf:` types.\n\n"
            .to_owned();
    let head = "| member | presence | rule |\n|---|---|---|\n";
    for family in FAMILIES {
        write!(
            page,
            "## {}\n\nBase URI: `{}`\n\n",
            family.prefix.trim_end_matches(':'),
            family.base
        )
        .expect("a text grows");
        if !family.common.is_empty() {
            let rows: String = family.common.iter().map(member_row).collect();
            writeln!(page, "Members of every type:\n\n{head}{rows}").expect("a text grows");
        }
        for schema in family.types {
            write!(page, "### {}{}\n\n{}.", family.prefix, schema.name, schema.section)
                .expect("a text grows");
            if let Some(successor) = schema.replaced_by {
                write!(page, " Replaced by `{successor}`.").expect("a text grows");
            }
            if !schema.subjects.is_empty() {
                let formats = schema.subjects.join("` or `");
                write!(page, " The subject has the format `{formats}`.").expect("a text grows");
            }
            page += "\n\n";
            if !schema.members.is_empty() {
                let rows: String = schema.members.iter().map(member_row).collect();
                writeln!(page, "{head}{rows}").expect("a text grows");
            }
        }
    }
    hold("event-types.md", "Event types", &page);
}

#[test]
fn a_table_of_metrics_is_read() {
    let source = "\nmetrics! {\n    // Part.\n\n    /// First\n    /// line.\n    counter \"a_total\" =\n        \
                  a(provider: &Name, by: &str) by count: usize;\n    /// Held.\n    held \"b\" = b();\n}\n";
    let read: BTreeMap<_, _> = metrics(source).into_iter().map(|m| (m.name.clone(), m)).collect();
    let a = &read["a_total"];
    assert_eq!((a.kind.as_str(), a.help.as_str()), ("counter", "First line."));
    assert_eq!(a.labels, ["`provider`", "`by`"]);
    assert_eq!((read["b"].kind.as_str(), read["b"].labels.len()), ("gauge", 0));
}
