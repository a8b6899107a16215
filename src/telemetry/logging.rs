//! Structured logs on standard error: text for a terminal, JSON for a log collector. `writer` writes them,
//! so that nothing waits for the log.

mod writer;

use std::{
    io::{self, IsTerminal},
    num::NonZeroUsize,
};

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    filter::{LevelFilter, ParseError},
    fmt::MakeWriter,
    util::{SubscriberInitExt, TryInitError},
};

pub use self::writer::LogGuard;

/// The lines that are logged, and their format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    pub format: LogFormat,
    /// The level of the lines that are logged, or levels by module as in `info,ssfd::push=debug`.
    pub level: String,
    /// The most lines that wait to be written. While the output takes none, further lines are lost and
    /// counted.
    pub queue_max: NonZeroUsize,
}

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text if standard error is a terminal, otherwise JSON.
    #[default]
    Auto,
    Text,
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info,actix_server=warn".to_owned(),
            queue_max: const { NonZeroUsize::new(10_000).expect("not zero") },
        }
    }
}

/// The levels from the fewest lines to the most, for errors.
const LEVELS: &str = "off, error, warn, info, debug and trace";

/// The reason why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "`log.level` {level:?} is neither a level nor a list of module=level; the levels are {LEVELS}"
    )]
    Level { level: String, source: Option<ParseError> },
    #[error("logging was started before")]
    Started(#[source] TryInitError),
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
}

/// Starts logging to standard error. A process can call it once, and keeps the guard until its end.
pub fn init(settings: &LogSettings) -> Result<LogGuard, LogError> {
    let terminal = io::stderr().is_terminal();
    let started = writer::start(io::stderr(), settings.queue_max.get());
    let (lines, guard) = started.map_err(LogError::Thread)?;
    subscriber(settings, terminal, lines)?.try_init().map_err(LogError::Started)?;
    // The default hook writes to standard error itself, and so waits for its reader.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("a panic without a text");
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(at, thread, panic = message, "a thread or a task panicked");
    }));
    Ok(guard)
}

/// Returns the filter for the configured level, or an error if the level cannot be parsed.
pub fn filter(settings: &LogSettings) -> Result<EnvFilter, LogError> {
    let level = &settings.level;
    let refused = |source| LogError::Level { level: level.clone(), source };
    // `EnvFilter` takes any other word for the name of a module, of which it logs everything. Nothing else
    // would be logged then.
    let is_module = |part: &str| !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err();
    let parts: Vec<_> = level.split(',').map(str::trim).collect();
    if parts.iter().any(|part| is_module(part)) {
        return Err(refused(None));
    }
    EnvFilter::try_new(parts.join(",")).map_err(|error| refused(Some(error)))
}

fn subscriber<W>(
    settings: &LogSettings,
    terminal: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter(settings)?).with_writer(writer);
    Ok(match (settings.format, terminal) {
        (LogFormat::Auto, false) | (LogFormat::Json, _) => {
            Box::new(builder.json().flatten_event(true).with_span_list(false).finish())
        }
        // The builder uses colours on a terminal unless NO_COLOR is set.
        (LogFormat::Auto | LogFormat::Text, true) => Box::new(builder.finish()),
        (LogFormat::Text, false) => Box::new(builder.with_ansi(false).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::writer::MutexGuardWriter;

    use super::*;

    /// Collects the log of a test.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl<'a> MakeWriter<'a> for Log {
        type Writer = MutexGuardWriter<'a, Vec<u8>>;

        fn make_writer(&'a self) -> Self::Writer {
            self.0.make_writer()
        }
    }

    fn logged(format: LogFormat, level: &str, terminal: bool) -> String {
        let log = Log::default();
        let settings = LogSettings { format, level: level.to_owned(), ..LogSettings::default() };
        let subscriber = subscriber(&settings, terminal, log.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(jti = "b1", "settled");
            tracing::debug!("looked again");
        });
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[track_caller]
    fn check_format(format: LogFormat, terminal: bool, json: bool) {
        let text = logged(format, "info", terminal);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), json, "{text}");
    }

    #[test]
    fn a_terminal_gets_text_and_a_pipe_json_unless_told_otherwise() {
        check_format(LogFormat::Auto, true, false);
        check_format(LogFormat::Auto, false, true);
        check_format(LogFormat::Text, true, false);
        check_format(LogFormat::Text, false, false);
        check_format(LogFormat::Json, true, true);
        check_format(LogFormat::Json, false, true);
    }

    #[test]
    fn fields_are_members_of_the_json() {
        let line: serde_json::Value =
            serde_json::from_str(&logged(LogFormat::Json, "info", false)).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["jti"]),
            (&"INFO".into(), &"settled".into(), &"b1".into())
        );
    }

    #[test]
    fn text_that_goes_to_a_file_has_no_colours() {
        assert!(!logged(LogFormat::Text, "info", false).contains('\x1b'));
    }

    #[test]
    fn the_level_may_differ_by_module() {
        let lines = |level| logged(LogFormat::Json, level, false).lines().count();
        assert_eq!(lines("warn"), 0);
        assert_eq!(lines("info"), 1);
        assert_eq!(lines("warn,ssfd=debug"), 2);
    }

    #[test]
    fn a_level_that_cannot_be_read_is_named_and_so_are_the_levels() {
        for level in ["ssfd=loud", "warning", "info,warning", "ssfd::push", "verbose", "fatal"] {
            let settings = LogSettings { level: level.to_owned(), ..LogSettings::default() };
            let Err(error) = subscriber(&settings, false, io::sink) else { panic!("{level}") };
            let error = error.to_string();
            assert!(error.contains(&format!("{level:?}")) && error.contains("warn"), "{error}");
        }
        for level in ["off", "error", "warn", "info", "debug", "trace", "WARN", "info, ssfd=debug"]
        {
            let settings = LogSettings { level: level.to_owned(), ..LogSettings::default() };
            assert!(filter(&settings).is_ok(), "{level}");
        }
    }
}
