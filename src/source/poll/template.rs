//! The URLs of a poll, as an operator writes them: `https://…/events?dateFrom={since}&max={max}`.

use url::{Host, Url, form_urlencoded};

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 4096;

/// A part of a URL that is filled in for each request. It stands for a value of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// The time from which on records are asked for.
    Since,
    /// The time of the request.
    Until,
    /// The cursor that the provider gave.
    Cursor,
    /// The number of records that are left out.
    First,
    /// The number of records that are asked for.
    Max,
}

impl Placeholder {
    const ALL: [Self; 5] = [Self::Since, Self::Until, Self::Cursor, Self::First, Self::Max];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Since => "{since}",
            Self::Until => "{until}",
            Self::Cursor => "{cursor}",
            Self::First => "{first}",
            Self::Max => "{max}",
        }
    }
}

/// A URL with placeholders.
///
/// Invariant: it is a URL once they are filled in, because [`Self::parse`] has tried it and values are
/// encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Placeholder),
}

impl UrlTemplate {
    /// Reads a URL. The error continues a sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let (before, place) = rest.split_at(start);
            let Some(end) = place.find('}') else {
                return Err(format!("has a `{{` without a `}}`: {text}"));
            };
            let (name, behind) = place.split_at(end + 1);
            let known = Placeholder::ALL.into_iter().find(|known| known.as_str() == name);
            let Some(placeholder) = known else {
                let known = Placeholder::ALL.map(Placeholder::as_str).join(", ");
                return Err(format!(
                    "has the placeholder `{name}`; there are {known}, {{var:NAME}}"
                ));
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Place(placeholder));
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let template = Self { pieces };
        let before_query = text.split('?').next().unwrap_or_default();
        if before_query.contains('{') {
            return Err("may have placeholders in its query alone, behind the `?`".to_owned());
        }
        https_or_loopback(&template.text(|_| "0".to_owned()))?;
        Ok(template)
    }

    pub fn has(&self, placeholder: Placeholder) -> bool {
        self.pieces.contains(&Piece::Place(placeholder))
    }

    /// Fills in each placeholder with its value.
    pub fn fill(&self, value: impl Fn(Placeholder) -> String) -> Url {
        let text = self.text(|placeholder| {
            form_urlencoded::byte_serialize(value(placeholder).as_bytes()).collect()
        });
        Url::parse(&text).expect("encoded values leave a URL what it is")
    }

    /// Returns the URL without its query. Positions are kept by it, so that they survive a change of the
    /// query.
    pub fn without_query(&self) -> String {
        let mut url = self.fill(|_| String::new());
        url.set_query(None);
        url.into()
    }

    fn text(&self, value: impl Fn(Placeholder) -> String) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Place(placeholder) => value(*placeholder),
        });
        pieces.collect()
    }
}

/// Checks a URL that credentials are sent to: https, or http to this machine. The error continues a sentence
/// that names the key.
pub fn https_or_loopback(text: &str) -> Result<Url, String> {
    if URL_BYTES_MAX < text.len() {
        return Err(format!("must have at most {URL_BYTES_MAX} bytes"));
    }
    let Ok(url) = Url::parse(text) else {
        return Err(format!("must be an https URL, and `{text}` is none"));
    };
    let is_secure = match url.scheme() {
        "https" => true,
        "http" => is_loopback(&url),
        _ => false,
    };
    if !is_secure || !url.has_host() {
        let rule = "must be an https URL, because a credential is sent there; only this machine itself may be \
                    asked over http";
        return Err(rule.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user name or password; name a file in `poll.auth`".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must have no fragment".to_owned());
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Puts the values of variables in place of `{var:NAME}`. The error continues a sentence that names the key.
pub fn with_vars(text: &str, var: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    const BEGIN: &str = "{var:";
    let mut parts = text.split(BEGIN);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((name, rest)) = part.split_once('}') else {
            return Err(format!("has a `{BEGIN}` without a `}}`"));
        };
        match var(name).filter(|value| !value.is_empty()) {
            Some(value) => filled += &value,
            None => return Err(format!("needs the variable `{name}`: set `vars.{name}`")),
        }
        filled += rest;
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let template = UrlTemplate::parse(text).expect("a template");
        let value = |placeholder| match placeholder {
            Placeholder::Since => "2026-04-02T08:00:00.120Z".to_owned(),
            Placeholder::Until => "7".to_owned(),
            Placeholder::Cursor => "a b&c=ü{first}".to_owned(),
            Placeholder::First => "200".to_owned(),
            Placeholder::Max => "100".to_owned(),
        };
        template.fill(value).into()
    }

    #[test]
    fn placeholders_are_filled_in_and_encoded() {
        for (text, expected) in [
            ("https://kc.example/events", "https://kc.example/events"),
            (
                "https://kc.example/e?dateFrom={since}&dateTo={until}&first={first}&max={max}",
                "https://kc.example/e?dateFrom=2026-04-02T08%3A00%3A00.120Z&dateTo=7&first=200&max=100",
            ),
            ("https://a.example/?c={cursor}#x", ""),
            ("https://a.example/?c={cursor}", "https://a.example/?c=a+b%26c%3D%C3%BC%7Bfirst%7D"),
            ("http://127.0.0.1:8080/?a={max}{max}", "http://127.0.0.1:8080/?a=100100"),
            ("http://localhost/", "http://localhost/"),
            ("http://[::1]:1/", "http://[::1]:1/"),
        ] {
            if expected.is_empty() {
                UrlTemplate::parse(text).expect_err("refused");
            } else {
                assert_eq!(filled(text), expected);
            }
        }
    }

    #[test]
    fn a_bad_url_is_refused_with_the_rule() {
        for (text, rule) in [
            ("", "https URL"),
            ("kc.example/events", "https URL"),
            ("http://kc.example/events", "because a credential"),
            ("http://10.0.0.1/", "because a credential"),
            ("http://localhost.example/", "because a credential"),
            ("ftp://127.0.0.1/", "because a credential"),
            ("https://u:p@kc.example/", "no user name"),
            ("https://kc.example/#a", "no fragment"),
            ("https://kc.example/?a={sinc}", "`{sinc}`; there are {since}"),
            ("https://kc.example/?a={since", "without a `}`"),
            ("https://kc.example/{since}", "behind the `?`"),
            ("https://{cursor}.example/", "behind the `?`"),
            ("https://kc.example/?a={var:x}", "{var:x}"),
            (&format!("https://kc.example/?{}", "a".repeat(URL_BYTES_MAX)), "at most"),
        ] {
            let found = UrlTemplate::parse(text).expect_err(text);
            assert!(found.contains(rule), "{text}: {found}");
        }
    }

    #[test]
    fn a_position_is_kept_by_the_url_without_its_query() {
        let of = |text: &str| UrlTemplate::parse(text).expect("a template").without_query();
        assert_eq!(of("https://KC.example:443/a?b={since}&c=1"), "https://kc.example/a");
        assert_eq!(of("https://kc.example"), "https://kc.example/");
    }

    #[test]
    fn variables_are_put_in() {
        let var = |name: &str| (name == "base").then(|| "https://kc.example".to_owned());
        let fill = |text| with_vars(text, var);
        assert_eq!(fill("{var:base}/a?b={since}"), Ok("https://kc.example/a?b={since}".to_owned()));
        assert_eq!(fill("none"), Ok("none".to_owned()));
        assert!(fill("{var:other}/").expect_err("refused").contains("`vars.other`"));
        assert!(fill("{var:base").is_err());
    }
}
