//! Reads `Link` headers (RFC 8288 §3) for the URL of the next page.

use url::Url;

/// The longest header that is read, in bytes.
const BYTES_MAX: usize = 16 << 10;

/// The reason why a header names no next page that may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadLink {
    #[error("the `Link` header is malformed (RFC 8288 §3)")]
    Malformed,
    #[error("the `Link` header names two next pages")]
    Two,
    #[error("the next page is at another origin than the configured URL; it is not asked")]
    Foreign,
}

/// Returns the URL of the next page of `page`, if the values of its `Link` headers name one. Credentials are
/// sent there, so it must have the origin of `page`.
pub(super) fn next_page<'a>(
    page: &Url,
    headers: impl IntoIterator<Item = &'a str>,
) -> Result<Option<Url>, BadLink> {
    let mut next: Option<Url> = None;
    for header in headers {
        for Link { target, is_next } in links(header)? {
            if !is_next {
                continue;
            }
            let url = page.join(target).map_err(|_| BadLink::Malformed)?;
            let named = !url.username().is_empty() || url.password().is_some();
            if url.origin() != page.origin() || named {
                return Err(BadLink::Foreign);
            }
            if next.as_ref().is_some_and(|known| *known != url) {
                return Err(BadLink::Two);
            }
            next = Some(url);
        }
    }
    Ok(next)
}

struct Link<'a> {
    target: &'a str,
    is_next: bool,
}

fn links(header: &str) -> Result<Vec<Link<'_>>, BadLink> {
    if BYTES_MAX < header.len() {
        return Err(BadLink::Malformed);
    }
    let (mut found, mut rest) = (Vec::new(), header.trim_matches(SPACE));
    // An empty element of a list is ignored (RFC 9110 §5.6.1).
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_start_matches(SPACE);
            continue;
        }
        let inside = rest.strip_prefix('<').ok_or(BadLink::Malformed)?;
        let (target, behind) = inside.split_once('>').ok_or(BadLink::Malformed)?;
        let (is_next, behind) = parameters(behind)?;
        found.push(Link { target, is_next });
        rest = behind;
    }
    Ok(found)
}

const SPACE: [char; 2] = [' ', '\t'];

/// Reads the parameters of a link. Returns whether the relation is `next`, and the rest behind the comma.
fn parameters(mut rest: &str) -> Result<(bool, &str), BadLink> {
    let mut relation = None;
    loop {
        rest = rest.trim_start_matches(SPACE);
        if rest.is_empty() || rest.starts_with(',') {
            break;
        }
        rest = rest.strip_prefix(';').ok_or(BadLink::Malformed)?.trim_start_matches(SPACE);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let behind = behind.trim_start_matches(SPACE);
        let (value, behind) = match behind.strip_prefix('=') {
            Some(behind) => value(behind.trim_start_matches(SPACE))?,
            None => (String::new(), behind),
        };
        // The first relation counts (RFC 8288 §3.3).
        if name.eq_ignore_ascii_case("rel") && relation.is_none() {
            relation = Some(value);
        }
        rest = behind;
    }
    let is_next = relation.is_some_and(|relation| {
        relation.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case("next"))
    });
    Ok((is_next, rest))
}

/// Reads a token or a quoted text.
fn value(text: &str) -> Result<(String, &str), BadLink> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return if token.is_empty() {
            Err(BadLink::Malformed)
        } else {
            Ok((token.to_owned(), rest))
        };
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next().ok_or(BadLink::Malformed)?.1),
            c => value.push(c),
        }
    }
    Err(BadLink::Malformed)
}

/// Tells whether a character may be in a token (RFC 9110 §5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(headers: &[&str]) -> Result<Option<String>, BadLink> {
        let page = Url::parse("https://org.example/api/v1/logs?limit=2").expect("a URL");
        let next = next_page(&page, headers.iter().copied())?;
        Ok(next.map(String::from))
    }

    const NEXT: &str = "https://org.example/api/v1/logs?after=1,2;3&limit=2";

    #[test]
    fn the_next_page_is_found() {
        let okta = format!(
            "<https://org.example/api/v1/logs?limit=2>; rel=\"self\", <{NEXT}>; rel=\"next\""
        );
        for headers in [
            vec![okta.as_str()],
            vec!["<https://org.example/x>; rel=\"self\"", &format!("<{NEXT}>; rel=\"next\"")],
            vec![&format!("<{NEXT}>;rel=next")],
            vec![&format!("<{NEXT}> ; title=\"a, <b>; \\\" c\" ; REL = \"prev NEXT\"")],
            vec![&format!(", ,<{NEXT}>; rel=next; rel=prev,")],
            vec![&format!("<{NEXT}>; rel=next, <{NEXT}>; rel=next")],
            vec![&format!("<{}>; rel=next; title*=UTF-8''a", &NEXT["https://org.example".len()..])],
        ] {
            assert_eq!(next(&headers), Ok(Some(NEXT.to_owned())), "{headers:?}");
        }
    }

    #[test]
    fn there_may_be_no_next_page() {
        for headers in [
            vec![],
            vec![""],
            vec!["<https://org.example/>; rel=\"self\""],
            vec!["<https://org.example/>; rel=prev; rel=next"],
            vec!["<https://org.example/>"],
            vec!["<https://org.example/>; rel=\"nextpage\""],
        ] {
            assert_eq!(next(&headers), Ok(None), "{headers:?}");
        }
    }

    #[test]
    fn a_page_elsewhere_is_never_asked() {
        for target in [
            "https://other.example/api/v1/logs",
            "http://org.example/api/v1/logs",
            "https://org.example:8443/api/v1/logs",
            "//other.example/",
            "https://user@org.example/",
            "file:///etc/passwd",
            "https://org.example.other.example/",
        ] {
            assert_eq!(
                next(&[&format!("<{target}>; rel=next")]),
                Err(BadLink::Foreign),
                "{target}"
            );
        }
    }

    #[test]
    fn a_malformed_header_is_refused() {
        for header in [
            "https://org.example/; rel=next",
            "<https://org.example/; rel=next",
            "<https://org.example/> rel=next",
            "<https://org.example/>; rel=\"next",
            "<https://org.example/>; rel=",
            "<https://org.example/>; rel=\"a\\",
            "<https://:0:/>; rel=next",
            &"<a>,".repeat(BYTES_MAX),
        ] {
            assert_eq!(next(&[header]), Err(BadLink::Malformed), "{header:.60}");
        }
        let two = "<https://org.example/1>; rel=next, <https://org.example/2>; rel=next";
        assert_eq!(next(&[two]), Err(BadLink::Two));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", marks in "[<>;,=\"a-z\\\\ ]{0,60}") {
            for header in [text, marks] {
                if let Ok(Some(url)) = next(&[&header]) {
                    prop_assert!(url.starts_with("https://org.example/"), "{}", url);
                }
            }
        }
    }
}
