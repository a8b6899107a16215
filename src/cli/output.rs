//! Standard output and standard error of a command.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

use super::CliError;

/// Prints a line of the result. A reader that has closed the pipe, as `head` does, has all that it wants: the
/// command goes on to its end, because it may be in the middle of changes. Any other error is one, because
/// the result is lost.
pub(super) fn print(line: impl fmt::Display) -> Result<(), CliError> {
    print_to(io::stdout().lock(), line)
}

/// Prints a line for the person at the terminal. Nothing depends on it.
pub(super) fn note(line: impl fmt::Display) {
    writeln!(io::stderr(), "{line}").ok();
}

fn print_to(mut out: impl Write, line: impl fmt::Display) -> Result<(), CliError> {
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::new(format!("standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error_and_a_full_disk_is_one() {
        assert!(print_to(Failing(ErrorKind::BrokenPipe), "a").is_ok());
        let full = print_to(Failing(ErrorKind::StorageFull), "a").expect_err("the result is lost");
        assert!(full.to_string().starts_with("standard output: "), "{full}");
        let mut out = Vec::new();
        print_to(&mut out, "a").expect("written");
        assert_eq!(out, b"a\n");
    }
}
