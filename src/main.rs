//! The command `ssfd`.

fn main() {}
