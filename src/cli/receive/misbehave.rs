//! Failures on purpose, to see how a Transmitter handles them.

use std::{fmt, str::FromStr, time::Duration};

use humantime_serde::re::humantime;
use hyper::StatusCode;
use url::Url;

/// A failure, and the requests that it applies to. Written as `MODE`, `MODE,first=N` or
/// `MODE,every=N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misbehaviour {
    pub mode: MisbehaviourMode,
    pub when: MisbehaviourTrigger,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MisbehaviourMode {
    /// `slow:DURATION`: accepts the SET and answers late.
    Slow(Duration),
    /// `STATUS` or `STATUS:SECONDS`: answers with this status, and with `Retry-After`.
    Status { status: StatusCode, retry_after_secs: Option<u64> },
    /// `400:ERR`: refuses the SET with this `err` (RFC 8935 §2.3).
    Refuse(String),
    /// `redirect:URL`: redirects the request to another URL.
    Redirect(Url),
    /// `reset`: closes the connection without accepting the SET and without an answer.
    Reset,
    /// `lose`: accepts the SET, then closes the connection without an answer.
    Lose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MisbehaviourTrigger {
    Always,
    /// `first=N`: the first N requests only.
    First(u64),
    /// `every=N`: one request in N, beginning with the N-th.
    Every(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMisbehaviour {
    #[error(
        "`{0}` is none of slow:DURATION, STATUS, STATUS:SECONDS, 400:ERR, redirect:URL, reset, lose"
    )]
    MisbehaviourMode(String),
    #[error("`{0}` is no duration such as 500ms or 2s")]
    Duration(String),
    #[error("`{0}` is no number of seconds for Retry-After")]
    Seconds(String),
    #[error("`{0}` is no absolute URL to redirect to")]
    Redirect(String),
    #[error("`{0}` is neither first=N nor every=N, with N at least 1")]
    MisbehaviourTrigger(String),
}

impl Misbehaviour {
    /// Returns whether the request with this number, counted from 1, has to fail.
    pub fn applies_to(&self, request: u64) -> bool {
        match self.when {
            MisbehaviourTrigger::Always => true,
            MisbehaviourTrigger::First(n) => request <= n,
            MisbehaviourTrigger::Every(n) => request.is_multiple_of(n),
        }
    }
}

impl MisbehaviourMode {
    /// Returns whether the Receiver accepts the SET all the same.
    pub fn accepts_set(&self) -> bool {
        matches!(self, Self::Slow(_) | Self::Lose)
    }
}

impl FromStr for Misbehaviour {
    type Err = InvalidMisbehaviour;

    fn from_str(raw: &str) -> Result<Self, InvalidMisbehaviour> {
        // A comma of a redirect's URL does not begin a trigger.
        let is_trigger = |text: &str| {
            !raw.starts_with("redirect:")
                || text.starts_with("first=")
                || text.starts_with("every=")
        };
        let (mode, when) = match raw.rsplit_once(',') {
            Some((mode, when)) if is_trigger(when) => (mode, when.parse()?),
            _ => (raw, MisbehaviourTrigger::Always),
        };
        Ok(Self { mode: mode.parse()?, when })
    }
}

impl FromStr for MisbehaviourMode {
    type Err = InvalidMisbehaviour;

    fn from_str(raw: &str) -> Result<Self, InvalidMisbehaviour> {
        let unknown = || InvalidMisbehaviour::MisbehaviourMode(raw.to_owned());
        let (name, argument) = match raw.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (raw, None),
        };
        match (name, argument) {
            ("reset", None) => Ok(Self::Reset),
            ("lose", None) => Ok(Self::Lose),
            ("slow", Some(span)) => humantime::parse_duration(span)
                .map(Self::Slow)
                .map_err(|_| InvalidMisbehaviour::Duration(span.to_owned())),
            ("redirect", Some(url)) => url
                .parse()
                .map(Self::Redirect)
                .map_err(|_| InvalidMisbehaviour::Redirect(url.to_owned())),
            ("400", Some(err)) if !err.is_empty() => Ok(Self::Refuse(err.to_owned())),
            (status, seconds) => {
                let status: StatusCode = status.parse().map_err(|_| unknown())?;
                if !(200..600).contains(&status.as_u16()) {
                    return Err(unknown());
                }
                let retry_after_secs = seconds
                    .map(|s| s.parse().map_err(|_| InvalidMisbehaviour::Seconds(s.to_owned())))
                    .transpose()?;
                Ok(Self::Status { status, retry_after_secs })
            }
        }
    }
}

impl FromStr for MisbehaviourTrigger {
    type Err = InvalidMisbehaviour;

    fn from_str(raw: &str) -> Result<Self, InvalidMisbehaviour> {
        let invalid = || InvalidMisbehaviour::MisbehaviourTrigger(raw.to_owned());
        let (word, number) = raw.split_once('=').ok_or_else(invalid)?;
        match (word, number.parse().map_err(|_| invalid())?) {
            ("first", n @ 1..) => Ok(Self::First(n)),
            ("every", n @ 1..) => Ok(Self::Every(n)),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            MisbehaviourTrigger::Always => self.mode.fmt(f),
            MisbehaviourTrigger::First(n) => write!(f, "{},first={n}", self.mode),
            MisbehaviourTrigger::Every(n) => write!(f, "{},every={n}", self.mode),
        }
    }
}

impl fmt::Display for MisbehaviourMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(span) => {
                // Without spaces, so that the output can be parsed again.
                let span = humantime::format_duration(*span).to_string().replace(' ', "");
                write!(f, "slow:{span}")
            }
            Self::Status { status, retry_after_secs: None } => write!(f, "{}", status.as_u16()),
            Self::Status { status, retry_after_secs: Some(seconds) } => {
                write!(f, "{}:{seconds}", status.as_u16())
            }
            Self::Refuse(err) => write!(f, "400:{err}"),
            Self::Redirect(url) => write!(f, "redirect:{url}"),
            Self::Reset => f.write_str("reset"),
            Self::Lose => f.write_str("lose"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, mode: MisbehaviourMode, when: MisbehaviourTrigger) {
        let parsed: Misbehaviour = raw.parse().expect(raw);
        assert_eq!(parsed, Misbehaviour { mode, when });
        assert_eq!(parsed.to_string(), raw, "a parsed value prints as the same text");
    }

    #[test]
    fn every_mode_is_parsed() {
        use MisbehaviourTrigger::{Always, Every, First};
        let status = |code, retry_after_secs| MisbehaviourMode::Status {
            status: StatusCode::from_u16(code).expect("a status"),
            retry_after_secs,
        };
        check("slow:2s", MisbehaviourMode::Slow(Duration::from_secs(2)), Always);
        check("slow:1m30s,first=2", MisbehaviourMode::Slow(Duration::from_secs(90)), First(2));
        check("500", status(500, None), Always);
        check("429:30", status(429, Some(30)), Always);
        check("400", status(400, None), Always);
        check("400:invalid_key,every=3", MisbehaviourMode::Refuse("invalid_key".into()), Every(3));
        check("reset,first=1", MisbehaviourMode::Reset, First(1));
        check("lose", MisbehaviourMode::Lose, Always);
        let url = "https://rx.example/in?a=1,2".parse().expect("a URL");
        check(
            "redirect:https://rx.example/in?a=1,2,first=1",
            MisbehaviourMode::Redirect(url),
            First(1),
        );
        let url = "https://rx.example/in?a=1,2".parse().expect("a URL");
        check("redirect:https://rx.example/in?a=1,2", MisbehaviourMode::Redirect(url), Always);
    }

    #[track_caller]
    fn refuses(raw: &str, rule: &str) {
        let error = raw.parse::<Misbehaviour>().expect_err(raw).to_string();
        assert!(error.contains(rule), "{error}");
    }

    #[test]
    fn the_error_names_the_wrong_part() {
        refuses("", "`` is none of slow:DURATION");
        refuses("sleep:2s", "`sleep:2s` is none of");
        refuses("reset:1", "`reset:1` is none of");
        refuses("99", "`99` is none of");
        refuses("100", "`100` is none of");
        refuses("600", "`600` is none of");
        refuses("slow:soon", "`soon` is no duration");
        refuses("slow", "`slow` is none of");
        refuses("429:soon", "`soon` is no number of seconds");
        refuses("redirect:/in", "`/in` is no absolute URL");
        refuses("500,first=0", "`first=0` is neither");
        refuses("500,twice", "`twice` is neither");
        refuses("500,last=1", "`last=1` is neither");
    }

    #[test]
    fn requests_are_counted_from_one() {
        let failing = |raw: &str| -> Vec<u64> {
            let misbehaviour: Misbehaviour = raw.parse().expect(raw);
            (1..=6).filter(|n| misbehaviour.applies_to(*n)).collect()
        };
        assert_eq!(failing("500"), [1, 2, 3, 4, 5, 6]);
        assert_eq!(failing("500,first=2"), [1, 2]);
        assert_eq!(failing("500,every=3"), [3, 6]);
    }
}
