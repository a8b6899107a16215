//! The help of every subcommand.

use super::Workplace;

/// The examples of each command are tried in `src/cli.rs`.
#[test]
fn the_help_of_a_subcommand_has_its_own_examples() {
    for command in [&["serve"][..], &["tokens", "create", "publisher"], &["store", "backup"]] {
        let help = Workplace::new().succeeds(&[command, &["--help"]].concat());
        assert!(help.contains("Usage: ssfd"), "{command:?}: {help}");
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{help}"));
        let example = format!("ssfd {}", command.join(" "));
        for line in examples.lines().filter(|line| !line.is_empty()) {
            assert!(line.contains(&example), "{command:?}: `{line}`");
        }
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
