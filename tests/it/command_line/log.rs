//! The log of `ssfd serve`.

use super::Workplace;

#[test]
fn a_log_line_has_a_time_a_level_and_a_message() {
    let place = Workplace::new();
    let line = place.serve().logs("serving");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
}
