//! The grammar of a push endpoint's URL. The parser of the crate `url` follows browsers, which repair
//! what they are given: `https:///in` and `https:\\in` would name the host `in`. A Receiver that gives
//! such a URL has made a mistake, and is told so.

use std::net::Ipv6Addr;

/// The longest host name, and the longest part of one between dots (RFC 1035 §2.3.4).
const HOST_LENGTH_MAX: usize = 253;
const LABEL_LENGTH_MAX: usize = 63;

/// Checks scheme and authority (RFC 3986 §3.1, §3.2). The error continues a sentence that names the URL.
pub(super) fn check(url: &str) -> Result<(), &'static str> {
    if url.contains(|c: char| c == '\\' || c.is_whitespace() || c.is_control()) {
        return Err("must be an https URL without backslashes, white space or control characters");
    }
    let scheme = |scheme: &str| ["https", "http"].iter().any(|s| scheme.eq_ignore_ascii_case(s));
    let Some((_, rest)) = url.split_once("://").filter(|(before, _)| scheme(before)) else {
        return Err("must be an https URL, such as https://rx.example/in");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must have a host and no user name or password");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => (None, port),
        Some(_) => return Err("must have an IPv6 address between the brackets"),
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            (Some(host), port)
        }
    };
    if host.is_some_and(|host| !is_host_name(host)) {
        return Err(
            "must have a host: letters, digits and hyphens in parts of at most 63 characters, \
             separated by dots (a name in other letters has the form xn--…)",
        );
    }
    let is_port = |port: &str| {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        digits && port.parse::<u16>().is_ok_and(|port| port != 0)
    };
    match port.strip_prefix(':') {
        Some(port) if is_port(port) => Ok(()),
        None if port.is_empty() => Ok(()),
        _ => Err("must have a port from 1 to 65535, or none"),
    }
}

/// Tells whether a text is a host name, or an IPv4 address. Underscores are not allowed in host names
/// (RFC 952), but private names have them.
pub(super) fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=LABEL_LENGTH_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= HOST_LENGTH_MAX && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(url: &str, rule: &str) {
        let error = check(url).expect_err(url);
        assert!(error.contains(rule), "{url}: {error}");
    }

    #[test]
    fn a_url_with_a_host_is_accepted() {
        for url in [
            "https://rx.example",
            "HTTPS://RX.example:443/a/../in?x=%7e&y=\u{fc}#f",
            "https://rx.example./in",
            "https://xn--bcher-kva.example?x",
            "http://10.0.0.1:65535/in",
            "https://[2001:db8::1]/in",
            "https://[::ffff:10.0.0.1]:8443/in",
            "https://my_host/in@x:y",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_url_that_a_browser_would_repair_is_refused() {
        for url in
            ["", "/in", "//rx.example/in", "rx.example/in", "https:rx.example/in", "ftp://x/"]
        {
            refuses(url, "must be an https URL");
        }
        for url in
            ["https:/rx.example/in", "https:\\\\rx\\in", "https://rx.example\\in", "https://rx/\t"]
        {
            refuses(url, "must be an https URL");
        }
        for url in [" https://rx.example/", "https://rx.example/in ", "https://rx.example/in\n"] {
            refuses(url, "must be an https URL");
        }
        for url in
            ["https:///in", "https://", "https://?x", "https://:443/in", "https://*.example/in"]
        {
            refuses(url, "must have a host");
        }
        for host in ["rx..example", ".example", "-a.example", "a-.example", "%6c%6f", "b\u{fc}cher"]
        {
            refuses(&format!("https://{host}/in"), "must have a host");
        }
        refuses(&format!("https://{}.example/in", "x".repeat(300)), "must have a host");
        refuses(&format!("https://{}/in", "x.".repeat(128)), "must have a host");
        for url in ["https://@rx/in", "https://kim@rx/in", "https://kim:pw@rx/in", "https://rx@/in"]
        {
            refuses(url, "no user name");
        }
        for port in ["0", "", "65536", "99999999", "44e", "+443", "443:443"] {
            refuses(&format!("https://rx.example:{port}/in"), "a port from 1 to 65535");
            refuses(&format!("https://[2001:db8::1]:{port}/in"), "a port from 1 to 65535");
        }
        for host in ["[rx.example]", "[::1%25eth0]", "[127.0.0.1]", "[]"] {
            refuses(&format!("https://{host}/in"), "an IPv6 address");
        }
    }
}
