use std::collections::BTreeSet;

use hyper::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::source::poll::template::UrlTemplate;

const NOW: Timestamp = Timestamp::from_millis(1_775_000_000_000);
/// A page was once as long as no page of a test is.
const MANY: usize = 100;
const WEEK: Duration = Duration::from_hours(7 * 24);

fn settings(members: Value) -> PollSettings {
    let mut table = json!({"urls": [], "paging": "time", "time_format": "ms", "page_size": 3});
    for (key, value) in members.as_object().expect("members") {
        table[key] = value.clone();
    }
    serde_json::from_value(table).expect("settings")
}

fn url(text: &str, start: Option<&str>) -> PollUrl {
    let template = |text| UrlTemplate::parse(text).expect("a template");
    let url = template(text);
    PollUrl { name: url.without_query(), start: start.map(template), template: url }
}

const BY_TIME: &str = "https://kc.example/e?since={since}&first={first}&max={max}";
const BY_LINK: &str = "https://okta.example/logs?since={since}&limit={max}";
const BY_CURSOR: &str = "https://a0.example/logs?from={cursor}&take={max}";
const START: &str = "https://a0.example/logs?q={since}";

fn at(millis: i64) -> Timestamp {
    NOW + Duration::from_millis(u64::try_from(millis).expect("not negative"))
}

fn position(millis: i64, next: Option<NextPage>) -> Position {
    Position { newest: at(millis), base: at(millis), begun: None, next }
}

fn begin<'a>(settings: &'a PollSettings, url: &'a PollUrl, position: Position) -> Round<'a> {
    Round::begin(settings, url, position, MANY, at(1_000_000) - WEEK, at(1_000_000))
}

/// The facts of a page with records of these times.
fn page(times: &[i64]) -> PageFacts {
    let times: Vec<_> = times.iter().map(|time| at(*time)).collect();
    PageFacts {
        records: times.len(),
        first: times.first().copied(),
        last: times.last().copied(),
        newest: times.iter().max().copied(),
        digest: format!("{times:?}"),
        ..PageFacts::default()
    }
}

fn with_link(times: &[i64], link: &str) -> PageFacts {
    PageFacts { link: Some(link.to_owned()), ..page(times) }
}

fn with_cursor(times: &[i64], cursor: &str) -> PageFacts {
    PageFacts { cursor: Some(cursor.to_owned()), ..page(times) }
}

/// Tells what follows a page.
fn then(judged: &Judged) -> &'static str {
    match &judged.then {
        Then::Ask => "ask",
        Then::Complete => "complete",
        Then::Continued => "continued",
        Then::Fail(fault) => fault.label(),
    }
}

/// Gives pages to a round, and checks the query of each request, what follows each page, and the newest time
/// and the next page of the position.
#[track_caller]
fn check(round: &mut Round<'_>, steps: &[(&str, PageFacts, &str, i64, &str)]) {
    for (query, page, expected, newest, next) in steps {
        let url = round.url(at(1_000_000));
        assert_eq!(url.query(), Some(*query));
        let judged = round.judge(page, at(1_000_000)).expect("a page that may be taken in");
        let found = match &judged.position.next {
            None => String::new(),
            Some(NextPage::Time { since, first }) => {
                format!("{}+{first}", since - NOW.as_millis())
            }
            Some(NextPage::Link { url }) => url.clone(),
            Some(NextPage::Cursor { cursor }) => cursor.clone(),
        };
        assert_eq!((then(&judged), found.as_str()), (*expected, *next), "{query}");
        assert_eq!(judged.position.newest, at(*newest), "{query}");
    }
}

fn since(millis: i64, first: u64) -> String {
    format!("since={}&first={first}&max=3", at(millis).as_millis())
}

#[test]
fn a_round_by_time_begins_before_the_newest_record_and_goes_on_at_the_newest() {
    let (settings, url) = (settings(json!({"overlap": "50ms"})), url(BY_TIME, None));
    let mut round = begin(&settings, &url, position(100, None));
    check(
        &mut round,
        &[
            (&since(50, 0), page(&[60, 100, 200]), "ask", 200, "199+0"),
            (&since(199, 0), page(&[200, 201, 300]), "ask", 300, "299+0"),
            (&since(299, 0), page(&[300, 400]), "complete", 400, ""),
        ],
    );
    let mut round = begin(&settings, &url, position(400, None));
    check(&mut round, &[(&since(350, 0), page(&[400]), "complete", 400, "")]);
    let mut round = begin(&settings, &url, position(400, None));
    check(&mut round, &[(&since(350, 0), page(&[]), "complete", 400, "")]);
}

#[test]
fn records_of_one_time_that_fill_a_page_are_counted_off() {
    let (settings, url) = (settings(json!({"overlap": "0s"})), url(BY_TIME, None));
    let mut round = begin(&settings, &url, position(100, None));
    check(
        &mut round,
        &[
            (&since(100, 0), page(&[100, 100, 100]), "ask", 100, "100+3"),
            (&since(100, 3), page(&[100, 100, 101]), "ask", 101, "100+6"),
            (&since(100, 6), page(&[101, 101, 102]), "ask", 102, "101+0"),
            (&since(101, 0), page(&[101, 101, 102]), "ask", 102, "101+3"),
            (&since(101, 3), page(&[]), "complete", 102, ""),
        ],
    );
    let plain = self::url("https://kc.example/e?since={since}", None);
    let mut round = begin(&settings, &plain, position(100, None));
    let judged = round.judge(&page(&[100, 100, 100]), at(200)).expect("taken in");
    assert!(matches!(judged.then, Then::Fail(Fault::Crowded)), "{judged:?}");
    assert_eq!((judged.position.newest, judged.position.next), (at(100), None));
}

/// The provider gives fewer records than it is asked for.
#[test]
fn a_page_that_ends_before_the_newest_known_record_is_not_the_last() {
    let (settings, url) = (settings(json!({"overlap": "50ms"})), url(BY_TIME, None));
    let mut round = begin(&settings, &url, position(100, None));
    check(
        &mut round,
        &[
            (&since(50, 0), page(&[60, 70]), "ask", 100, "69+0"),
            (&since(69, 0), page(&[70, 100]), "complete", 100, ""),
        ],
    );
    let mut round = Round::begin(&settings, &url, position(100, None), 2, at(0) - WEEK, at(200));
    check(
        &mut round,
        &[
            (&since(50, 0), page(&[60, 100]), "ask", 100, "99+0"),
            (&since(99, 0), page(&[100, 100]), "ask", 100, "99+2"),
            (&since(99, 2), page(&[100]), "complete", 100, ""),
        ],
    );
    assert_eq!(round.largest(), 2);
}

#[test]
fn a_round_ends_after_so_many_pages_and_the_next_goes_on_there() {
    let (settings, url) =
        (settings(json!({"overlap": "50ms", "pages_max": 2})), url(BY_TIME, None));
    let mut round = begin(&settings, &url, position(100, None));
    check(
        &mut round,
        &[
            (&since(50, 0), page(&[60, 61, 62]), "ask", 100, "61+0"),
            (&since(61, 0), page(&[62, 63, 64]), "continued", 100, "63+0"),
        ],
    );
    let next = Some(NextPage::Time { since: at(63).as_millis(), first: 0 });
    let mut round = begin(&settings, &url, position(100, next));
    check(&mut round, &[(&since(63, 0), page(&[64, 120]), "complete", 120, "")]);
}

#[test]
fn nothing_older_than_the_source_takes_is_asked_for() {
    let (settings, url) = (settings(json!({})), url(BY_TIME, None));
    let long_ago = Position::starting(Timestamp::from_millis(7));
    let next = Some(NextPage::Time { since: 5, first: 3 });
    for position in [long_ago.clone(), Position { next, ..long_ago }] {
        let round = begin(&settings, &url, position);
        let oldest = (at(1_000_000) - WEEK).as_millis();
        let query = format!("since={oldest}&first=0&max=3");
        assert_eq!(round.url(NOW).query(), Some(query.as_str()));
    }
}

#[test]
fn pages_by_which_the_position_could_pass_over_records_are_refused() {
    let (settings, url) = (settings(json!({})), url(BY_TIME, None));
    let mut round = begin(&settings, &url, position(100, None));
    let refused = |page: &PageFacts, round: &mut Round<'_>| {
        round.judge(page, at(1_000_000)).expect_err("refused")
    };
    assert!(matches!(refused(&page(&[200, 150, 120]), &mut round), Fault::Unordered));
    let timeless = PageFacts { records: 3, ..PageFacts::default() };
    assert!(matches!(refused(&timeless, &mut round), Fault::Timeless));
}

/// Records that are shown while a round is long are passed over by it.
#[test]
fn a_round_begins_no_later_than_the_round_before() {
    let (settings, url) =
        (settings(json!({"overlap": "50ms", "pages_max": 1})), url(BY_TIME, None));
    let mut round = Round::begin(&settings, &url, position(100, None), MANY, at(0), at(500));
    let judged = round.judge(&page(&[200, 300, 400]), at(600)).expect("taken in");
    let Position { base, begun, .. } = judged.position.clone();
    assert_eq!((then(&judged), base, begun), ("continued", at(100), Some(at(500))));
    // The round goes on later, perhaps in another process.
    let mut round = Round::begin(&settings, &url, judged.position, MANY, at(0), at(900));
    let judged = round.judge(&page(&[400, 850]), at(950)).expect("taken in");
    let Position { newest, base, begun, .. } = judged.position.clone();
    assert_eq!((then(&judged), newest, base, begun), ("complete", at(850), at(500), None));
    let mut round = Round::begin(&settings, &url, judged.position, MANY, at(0), at(960));
    check(&mut round, &[(&since(450, 0), page(&[460, 850]), "complete", 850, "")]);
}

/// A record of the year 2100, or a provider whose clock is ahead.
#[test]
fn a_time_ahead_does_not_move_the_position_beyond_now() {
    let (settings, url) = (settings(json!({})), url(BY_TIME, None));
    let mut round = begin(&settings, &url, position(100, None));
    let judged = round.judge(&page(&[200, 900]), at(300)).expect("taken in");
    assert_eq!(judged.position.newest, at(300));
    let mut round = begin(&settings, &url, position(100, None));
    // The reader of the page leaves such a time out.
    let ahead = PageFacts { newest: Some(at(200)), ..page(&[200, 4_000_000_000_000]) };
    let judged = round.judge(&ahead, at(300)).expect("taken in");
    assert_eq!((then(&judged), judged.position.newest), ("complete", at(200)));
    let mut round = begin(&settings, &url, position(100, None));
    let alone = PageFacts { newest: None, ..page(&[4_000_000_000_000]) };
    let judged = round.judge(&alone, at(300)).expect("taken in");
    assert_eq!(judged.position.newest, at(100));
}

#[test]
fn links_are_followed_until_a_page_is_empty_and_from_there_on() {
    let (settings, url) = (settings(json!({"paging": "link"})), url(BY_LINK, None));
    let link = |after: &str| format!("https://okta.example/logs?after={after}");
    let mut round = begin(&settings, &url, position(60_000, None));
    let query = format!("since={}&limit=3", NOW.as_millis());
    check(
        &mut round,
        &[
            (&query, with_link(&[50, 70_000], &link("a")), "ask", 70_000, &link("a")),
            ("after=a", with_link(&[65_000], &link("b")), "ask", 70_000, &link("b")),
            ("after=b", with_link(&[], &link("b")), "complete", 70_000, &link("b")),
        ],
    );
    let next = Some(NextPage::Link { url: link("b") });
    let mut round = begin(&settings, &url, position(70_000, next));
    check(
        &mut round,
        &[
            ("after=b", with_link(&[80_000], &link("c")), "ask", 80_000, &link("c")),
            ("after=c", page(&[]), "complete", 80_000, ""),
        ],
    );
}

#[test]
fn a_link_of_another_origin_in_the_store_is_not_asked() {
    let (settings, url) = (settings(json!({"paging": "link"})), url(BY_LINK, None));
    let next = Some(NextPage::Link { url: "https://other.example/logs?after=a".into() });
    let round = begin(&settings, &url, position(60_000, next));
    let asked = round.url(NOW);
    assert_eq!(asked.host_str(), Some("okta.example"));
    assert_eq!(asked.query(), Some(format!("since={}&limit=3", NOW.as_millis()).as_str()));
}

#[test]
fn a_loop_of_links_or_cursors_ends_the_round_and_its_records_are_taken_in() {
    let (by_link, url) = (settings(json!({"paging": "link"})), url(BY_LINK, None));
    let link = |after: &str| format!("https://okta.example/logs?after={after}");
    let mut round = begin(&by_link, &url, position(60_000, None));
    let query = format!("since={}&limit=3", NOW.as_millis());
    check(
        &mut round,
        &[
            (&query, with_link(&[1], &link("a")), "ask", 60_000, &link("a")),
            ("after=a", with_link(&[2], &link("b")), "ask", 60_000, &link("b")),
            ("after=b", with_link(&[3], &link("a")), "loop", 60_000, &link("b")),
        ],
    );
    let cursors = json!({"paging": "cursor", "cursor": "/next"});
    let (by_cursor, url) = (settings(cursors), self::url(BY_CURSOR, Some(START)));
    let mut round = begin(&by_cursor, &url, position(60_000, None));
    check(
        &mut round,
        &[
            (&format!("q={}", NOW.as_millis()), with_cursor(&[1], "a"), "ask", 60_000, "a"),
            ("from=a&take=3", with_cursor(&[2], "a"), "loop", 60_000, "a"),
        ],
    );
}

#[test]
fn cursors_are_followed_and_the_last_one_stays() {
    let cursors = json!({"paging": "cursor", "cursor": "/next"});
    let (settings, url) = (settings(cursors), url(BY_CURSOR, Some(START)));
    let mut round = begin(&settings, &url, position(60_000, None));
    let start = format!("q={}", NOW.as_millis());
    check(&mut round, &[(&start, page(&[]), "complete", 60_000, "")]);
    let mut round = begin(&settings, &url, position(60_000, None));
    check(
        &mut round,
        &[
            (&start, with_cursor(&[70_000], "a"), "ask", 70_000, "a"),
            ("from=a&take=3", with_cursor(&[70_000], "b"), "ask", 70_000, "b"),
            ("from=b&take=3", page(&[]), "complete", 70_000, "b"),
        ],
    );
    let next = Some(NextPage::Cursor { cursor: "b".into() });
    let mut round = begin(&settings, &url, position(70_000, next.clone()));
    check(&mut round, &[("from=b&take=3", page(&[80_000]), "complete", 80_000, "b")]);
    let mut round = begin(&settings, &url, position(70_000, next));
    check(&mut round, &[("from=b&take=3", with_cursor(&[], "c"), "complete", 70_000, "c")]);
}

#[test]
fn a_place_that_the_provider_has_forgotten_is_given_up_once() {
    let cursors = json!({"paging": "cursor", "cursor": "/next"});
    let (settings, url) = (settings(cursors), url(BY_CURSOR, Some(START)));
    let gone = |status| Fault::Status { status, retry_after: None };
    let next = Some(NextPage::Cursor { cursor: "b".into() });
    let mut round = begin(&settings, &url, position(70_000, next));
    assert!(!round.forget_place(&gone(StatusCode::UNAUTHORIZED)));
    assert!(round.forget_place(&gone(StatusCode::BAD_REQUEST)));
    assert_eq!(round.url(NOW).query(), Some(format!("q={}", at(10_000).as_millis()).as_str()));
    assert!(!round.forget_place(&gone(StatusCode::BAD_REQUEST)));
    let judged = round.judge(&page(&[]), at(100_000)).expect("taken in");
    assert_eq!(judged.position, position(70_000, None));
}

#[test]
fn an_answer_that_is_too_large_is_asked_for_in_halves() {
    let (by_time, url) = (settings(json!({})), url(BY_TIME, None));
    let mut round = begin(&by_time, &url, position(70_000, None));
    assert!(!round.ask_for_less(&Fault::Loop));
    assert!(round.ask_for_less(&Fault::TooLarge(1)));
    assert!(round.url(NOW).query().expect("a query").ends_with("max=1"));
    assert!(!round.ask_for_less(&Fault::TooLarge(1)));
    let fixed = self::url("https://kc.example/e?since={since}", None);
    assert!(!begin(&by_time, &fixed, position(1, None)).ask_for_less(&Fault::TooLarge(1)));
}

#[test]
fn times_are_written_in_the_format_of_the_provider() {
    let at = Timestamp::from_millis(1_775_116_800_999);
    for (format, text, before) in [
        (TimeFormat::Ms, "1775116800999", 1_775_116_800_998),
        (TimeFormat::S, "1775116800", 1_775_116_799_000),
        (TimeFormat::Rfc3339, "2026-04-02T08:00:00.999Z", 1_775_116_800_998),
    ] {
        assert_eq!(written(at, format), text);
        assert_eq!(just_before(at, format).as_millis(), before);
    }
}

/// A provider with records, each of which is there from some round on.
#[derive(Debug, Clone)]
struct Provider {
    /// The time, and the number of the round from which on the record is shown.
    records: Vec<(i64, usize)>,
    excludes_since: bool,
    page_max: usize,
}

impl Provider {
    /// Returns the time of a round, in which eight more records were made.
    fn now(&self, round: usize) -> i64 {
        let made = self.records.iter().take(8 * (round + 1));
        made.map(|record| record.0).max().unwrap_or(1_000)
    }

    fn page(&self, query: &str, round: usize) -> (Vec<usize>, PageFacts) {
        let value = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name));
            pair.expect("it is there").parse::<i64>().expect("a number")
        };
        let since = value("since=") - NOW.as_millis();
        let first = usize::try_from(value("first=")).expect("an offset");
        let max = usize::try_from(value("max=")).expect("a number").min(self.page_max);
        let shown = |(at, from): &(i64, usize)| {
            *from <= round && if self.excludes_since { since < *at } else { since <= *at }
        };
        let mut found: Vec<_> =
            (0..self.records.len()).filter(|n| shown(&self.records[*n])).collect();
        found.sort_by_key(|n| self.records[*n].0);
        let found: Vec<_> = found.into_iter().skip(first).take(max).collect();
        let times: Vec<_> = found.iter().map(|n| self.records[*n].0).collect();
        let digest = format!("{found:?}");
        (found, PageFacts { digest, ..page(&times) })
    }
}

proptest! {
    /// Each record that is shown within the overlap is taken in, with any times and sizes of pages, and wherever
    /// the daemon is killed.
    #[test]
    fn by_time_no_record_is_passed_over(
        steps in prop::collection::vec((0_i64..40, 0_usize..3), 0..60),
        excludes_since: bool,
        page_max in 1_usize..10,
        pages_max in 1_u32..4,
        kills in prop::collection::vec(0_usize..8, 0..6),
    ) {
        let mut time = 1_000;
        let mut records = Vec::new();
        for (n, (step, late)) in steps.iter().enumerate() {
            time += step;
            records.push((time, n / 8 + late));
        }
        // A record that is late by two rounds is at most 24 records of 40 ms behind.
        let settings = settings(json!({"overlap": "1200ms", "pages_max": pages_max, "page_size": 5}));
        let (url, all_are_shown) = (url(BY_TIME, None), records.len() / 8 + 3);
        let provider = Provider { records, excludes_since, page_max };
        let mut position = position(1_000, None);
        let mut taken = BTreeSet::new();
        let (mut kills, mut largest) = (kills.into_iter(), 0);
        let mut last_rounds = 0;
        for n in 0.. {
            prop_assert!(n < 2_000, "there is no end");
            if last_rounds == 2 {
                break;
            }
            let mut killed_at = kills.next();
            let (begin, now) = (position.clone(), at(provider.now(n)));
            let mut round = Round::begin(&settings, &url, begin, largest, at(0) - WEEK, now);
            loop {
                let asked = round.url(NOW);
                let (found, facts) = provider.page(asked.query().expect("a query"), n);
                let judged = round.judge(&facts, now).expect("a page in order");
                taken.extend(found);
                match killed_at {
                    // The records are durable, and the position is not.
                    Some(0) => {
                        largest = 0;
                        break;
                    }
                    ref mut left => *left = left.map(|left| left - 1),
                }
                prop_assert!(position.newest <= judged.position.newest);
                position = judged.position;
                match judged.then {
                    Then::Ask => {}
                    Then::Complete | Then::Continued => {
                        largest = round.largest();
                        let is_end = all_are_shown < n && matches!(judged.then, Then::Complete);
                        last_rounds += usize::from(is_end);
                        break;
                    }
                    Then::Fail(fault) => return Err(TestCaseError::fail(fault.to_string())),
                }
            }
        }
        let newest = provider.records.iter().map(|record| record.0).max().unwrap_or(1_000);
        prop_assert!(position.newest <= at(newest));
        prop_assert_eq!(taken.len(), provider.records.len());
    }
}
