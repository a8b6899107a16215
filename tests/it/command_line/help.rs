//! The help of every subcommand.

use super::Workplace;

#[track_caller]
fn explains(command: &[&str]) {
    let help = Workplace::new().succeeds(&[command, &["--help"]].concat());
    assert!(help.contains("Usage: ssfd"), "{command:?}: {help}");
    let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{help}"));
    let example = format!("  ssfd {}", command.join(" "));
    assert!(examples.contains(example.trim_end()), "{command:?}: no example in {help}");
}

#[test]
fn the_help_of_every_subcommand_has_an_example() {
    explains(&[]);
    explains(&["serve"]);
    explains(&["check"]);
    explains(&["explain"]);
    explains(&["demo"]);
    explains(&["publish"]);
    explains(&["receive"]);
    explains(&["receive", "push"]);
    explains(&["receive", "poll"]);
    explains(&["keys"]);
    explains(&["keys", "generate"]);
    explains(&["keys", "show"]);
    explains(&["tokens"]);
    explains(&["tokens", "create"]);
    explains(&["tokens", "create", "receiver"]);
    explains(&["tokens", "create", "publisher"]);
    explains(&["tokens", "create", "operator"]);
    explains(&["tokens", "list"]);
    explains(&["tokens", "revoke"]);
    explains(&["openapi"]);
    explains(&["clients"]);
    explains(&["clients", "add"]);
    explains(&["clients", "list"]);
    explains(&["clients", "remove"]);
    explains(&["streams"]);
    explains(&["jobs"]);
    explains(&["replay"]);
    explains(&["store"]);
    explains(&["store", "copy"]);
    explains(&["store", "verify"]);
    explains(&["dead"]);
    for command in ["list", "show", "redrive", "purge"] {
        explains(&["dead", command]);
    }
    for command in ["list", "show", "pause", "enable", "disable", "verify", "delete"] {
        explains(&["streams", command]);
    }
}

#[test]
fn version_prints_the_version_of_the_package() {
    let version = concat!("ssfd ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(Workplace::new().succeeds(&["--version"]), version);
}

#[test]
fn an_unknown_subcommand_or_flag_is_a_usage_error() {
    for args in [&["server"][..], &["serve", "--port", "1"], &["tokens", "create", "receiver"], &[]]
    {
        let ended = Workplace::new().run(args);
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        assert!(ended.stderr.contains("Usage: ssfd"), "{}", ended.stderr);
    }
}
