//! A scripted provider: it keeps records, and serves them in pages as a real one does. Its next answers can be
//! replaced.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use ssfd::{clock, domain::time::Timestamp};

use crate::{
    harness::eventually,
    scripted_server::{Endpoint, Reply, Seen},
    sources::SECRET,
};

/// A record that a provider serves.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) at: Timestamp,
    pub(crate) user: String,
    record: Value,
}

impl Served {
    pub(crate) fn record(&self) -> &Value {
        &self.record
    }
}

/// Answers a request for a page from the records of the provider.
type Pages = fn(&State, &Request<'_>) -> Reply;

/// A provider with records.
pub(crate) struct Provider {
    endpoint: Endpoint,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    /// In the order in which they became visible.
    pub(crate) records: Vec<Served>,
    /// Answers in place of the next ones, for requests of pages.
    replies: VecDeque<Reply>,
    /// Answers in place of all, for requests of pages.
    always: Option<Reply>,
    /// After so many more requests of pages, none is answered.
    left: Option<usize>,
    /// The access tokens that are taken. Each answer of the token endpoint adds one.
    tokens: Vec<String>,
    issued: usize,
    /// Whether a request was left open.
    hangs: bool,
    /// The largest page, whatever is asked for.
    pub(crate) page_max: Option<usize>,
}

/// A request for a page.
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    parameters: BTreeMap<String, String>,
    seen: &'a Seen,
}

impl Request<'_> {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.seen.headers.get(name)?.to_str().ok()
    }
}

/// The end of the path of the token endpoint, and the client there.
pub(crate) const TOKEN: &str = "/token";
pub(crate) const CLIENT: &str = "ssfd";

impl Provider {
    /// Starts a provider that serves its records as `pages` says.
    pub(crate) async fn start(pages: Pages) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let script = move |_, seen: &Seen| answer(&shared, seen, pages);
        Self { endpoint: Endpoint::start_plain(script).await, state }
    }

    /// Starts a provider with one list of records, which is asked by time.
    pub(crate) async fn by_time() -> Self {
        Self::start(|state, request| {
            if request.header("x-key") != Some(SECRET) {
                return Reply::status(401);
            }
            page_by_time(state, request)
        })
        .await
    }

    /// Starts a provider like that, which asks for no credential.
    pub(crate) async fn open_by_time() -> Self {
        Self::start(page_by_time).await
    }

    pub(crate) fn url(&self, target: &str) -> String {
        self.endpoint.url_by_address(target)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
    }

    /// Shows records of sign-outs, each of this age in milliseconds. Returns them.
    pub(crate) fn show(&self, ages: &[u64], user: &str) -> Vec<Served> {
        let now = clock::now();
        let records = ages.iter().enumerate().map(|(n, age)| {
            let at = now - Duration::from_millis(*age);
            let user = format!("{user}-{n}");
            let id = format!("id-{user}");
            let record = json!({
                "type": "LOGOUT", "id": id, "user": user, "session": "s", "time": at.as_millis(),
            });
            Served { at, user, record }
        });
        let records: Vec<_> = records.collect();
        self.state().records.extend(records.clone());
        records
    }

    /// Shows a record.
    pub(crate) fn show_record(&self, at: Timestamp, user: &str, record: Value) -> Served {
        let served = Served { at, user: user.to_owned(), record };
        self.state().records.push(served.clone());
        served
    }

    /// Gives these answers to the next requests of pages.
    pub(crate) fn answer_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().replies.extend(replies);
    }

    /// Gives this answer to all requests of pages, or serves again with `None`.
    pub(crate) fn answer_always(&self, reply: Option<Reply>) {
        self.state().always = reply;
    }

    /// Answers so many more requests of pages, and leaves the later ones open; answers all with `None`.
    pub(crate) fn hang_after(&self, pages: Option<usize>) {
        self.state().left = pages;
    }

    /// Returns once a request was left open.
    pub(crate) async fn hangs(&self) {
        eventually("a request is left open", async || self.state().hangs).await;
        self.state().hangs = false;
    }

    /// Takes no token any more that was issued before.
    pub(crate) fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.endpoint.seen()
    }

    /// Returns the targets of the requests for pages so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let targets = self.seen().into_iter().map(|seen| seen.target);
        targets.filter(|target| !target.ends_with(TOKEN)).collect()
    }

    /// Returns the number of requests for tokens.
    pub(crate) fn token_requests(&self) -> usize {
        self.seen().iter().filter(|seen| seen.target.ends_with(TOKEN)).count()
    }

    /// Returns once all replaced answers were given.
    pub(crate) async fn gave_all(&self) {
        let given = async || self.state().replies.is_empty();
        eventually("the replaced answers are given", given).await;
    }
}

impl State {
    /// Returns the records from a time on in ascending order, without the first `first` of them, `max` at most.
    pub(crate) fn since(&self, since: Timestamp, request: &Request<'_>) -> Vec<Value> {
        let mut found: Vec<_> = self.records.iter().filter(|record| since <= record.at).collect();
        found.sort_by_key(|record| record.at);
        let count = |name: &str, default: usize| {
            request.number(name).map_or(default, |n| usize::try_from(n).expect("not negative"))
        };
        let max = count("max", 100).min(self.page_max.unwrap_or(usize::MAX));
        let found = found.into_iter().skip(count("first", 0)).take(max);
        found.map(|record| record.record.clone()).collect()
    }

    /// Returns a state with some of the records alone.
    pub(crate) fn only(&self, is_wanted: impl Fn(&Value) -> bool) -> Self {
        let records = self.records.iter().filter(|one| is_wanted(&one.record)).cloned().collect();
        Self { records, ..Self::default() }
    }

    /// Returns the records that became visible behind a number of others, `max` at most, and the number behind
    /// them.
    pub(crate) fn behind(&self, number: usize, max: usize) -> (Vec<Value>, usize) {
        let found: Vec<_> = self.records.iter().skip(number).take(max).collect();
        let end = number + found.len();
        (found.into_iter().map(|record| record.record.clone()).collect(), end)
    }

    /// Returns the number of the first record that is not older than a time.
    pub(crate) fn first_since(&self, since: Timestamp) -> usize {
        let first = self.records.iter().position(|record| since <= record.at);
        first.unwrap_or(self.records.len())
    }

    /// Tells whether a request shows an access token that was issued.
    pub(crate) fn knows_token(&self, request: &Request<'_>) -> bool {
        let shown = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        shown.is_some_and(|token| self.tokens.iter().any(|known| known == token))
    }
}

fn answer(state: &Mutex<State>, seen: &Seen, pages: Pages) -> Reply {
    let url = url::Url::parse(&format!("http://localhost{}", seen.target)).expect("a target");
    let mut state = state.lock().expect("no panic");
    let request =
        Request { path: url.path(), parameters: url.query_pairs().into_owned().collect(), seen };
    if request.path.ends_with(TOKEN) {
        return issue(&mut state, &request);
    }
    match &mut state.left {
        Some(0) => {
            state.hangs = true;
            return Reply::Never;
        }
        Some(left) => *left -= 1,
        None => {}
    }
    if let Some(reply) = state.replies.pop_front() {
        return reply;
    }
    match &state.always {
        Some(reply) => reply.clone(),
        None => pages(&state, &request),
    }
}

fn page_by_time(state: &State, request: &Request<'_>) -> Reply {
    let since = Timestamp::from_millis(request.number("since").expect("a time"));
    json_reply(&Value::Array(state.since(since, request)), &[])
}

/// Issues a token to the client (RFC 6749 §4.4.2).
fn issue(state: &mut State, request: &Request<'_>) -> Reply {
    let form: BTreeMap<_, _> =
        url::form_urlencoded::parse(&request.seen.body).into_owned().collect();
    let by_basic = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let pair = STANDARD.encode(format!("{CLIENT}:{SECRET}"));
        request.header("authorization") == Some(&format!("Basic {pair}"))
    };
    let member = |name: &str| form.get(name).map(String::as_str);
    let by_post = member("client_id") == Some(CLIENT) && member("client_secret") == Some(SECRET);
    if member("grant_type") != Some("client_credentials") || !(by_basic || by_post) {
        let error = json!({"error": "invalid_client"}).to_string();
        return Reply::full(401, &[("content-type", "application/json")], &error);
    }
    state.issued += 1;
    let token = format!("token-{}", state.issued);
    state.tokens.push(token.clone());
    json_reply(&json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}), &[])
}

/// Makes an answer of JSON.
pub(crate) fn json_reply(body: &Value, headers: &[(&str, &str)]) -> Reply {
    let headers = [&[("content-type", "application/json")], headers].concat();
    Reply::full(200, &headers, &body.to_string())
}
