//! JSONPath (RFC 9535), as far as its cost is bounded.
//!
//! `jsonpath-rust` parses and evaluates. The checks of this file leave only queries that visit each
//! value of a record at most once for each segment: no `..`, one selector in each bracket, no filter
//! in a filter, and no search from `$` in a filter. `match` and `search` are refused, because they
//! compile a regular expression for each value.

use jsonpath_rust::{
    parser::{
        model::{
            Comparable, Filter, FilterAtom, FnArg, JpQuery, Segment, Selector, Test, TestFunction,
        },
        parse_json_path,
    },
    query::js_path_process,
};
use serde_json::Value;

use super::path::{Local, Step};

/// A checked query that is more than a list of names.
#[derive(Debug, Clone)]
pub(super) struct Query(JpQuery);

impl Query {
    /// Returns the nodes in the order of RFC 9535.
    pub(super) fn all<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        // An error means that the result is a value and not a node, which a checked query never
        // gives.
        let nodes = js_path_process(&self.0, value).unwrap_or_default();
        nodes.into_iter().map(|node| node.val).collect()
    }
}

/// Parses a query that begins with `$`. A query of names and positions alone becomes a list of
/// steps, which costs less.
pub(super) fn compile(text: &str) -> Result<Local, String> {
    let query = parse_json_path(text).map_err(|_| {
        "is not a JSONPath (RFC 9535), such as `$.target[?@.type=='User'].id`".to_owned()
    })?;
    for segment in &query.segments {
        match selector(segment)? {
            Selector::Filter(filter) => check_filter(filter)?,
            Selector::Slice(_, _, Some(0)) => return Err("has a slice with the step 0".to_owned()),
            _ => {}
        }
    }
    let steps: Option<Vec<_>> = query.segments.iter().map(step).collect();
    Ok(steps.map_or(Local::Query(Query(query)), Local::Steps))
}

/// Returns the only selector of a segment.
fn selector(segment: &Segment) -> Result<&Selector, String> {
    match segment {
        Segment::Selector(selector) => Ok(selector),
        Segment::Selectors(selectors) => match selectors.as_slice() {
            [selector] => Ok(selector),
            _ => Err("has several selectors in one bracket; write one path for each".to_owned()),
        },
        Segment::Descendant(_) => {
            Err("has `..`, which visits all of a record; name the members instead".to_owned())
        }
    }
}

fn step(segment: &Segment) -> Option<Step> {
    match selector(segment).ok()? {
        Selector::Name(name) => Some(Step::Member(name.clone())),
        Selector::Index(index) => usize::try_from(*index).ok().map(Step::Element),
        _ => None,
    }
}

fn check_filter(filter: &Filter) -> Result<(), String> {
    match filter {
        Filter::Or(filters) | Filter::And(filters) => filters.iter().try_for_each(check_filter),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => check_filter(expr),
        Filter::Atom(FilterAtom::Test { expr, .. }) => check_test(expr),
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let (left, right) = comparison.vals();
            check_comparable(left)?;
            check_comparable(right)
        }
    }
}

fn check_test(test: &Test) -> Result<(), String> {
    match test {
        Test::RelQuery(segments) => {
            let nested = |segment| {
                Ok::<_, String>(matches!(
                    selector(segment)?,
                    Selector::Filter(_) | Selector::Slice(_, _, Some(0))
                ))
            };
            for segment in segments {
                if nested(segment)? {
                    return Err("has a filter inside a filter; use one of them".to_owned());
                }
            }
            Ok(())
        }
        Test::AbsQuery(query) => {
            if query.segments.iter().all(|segment| step(segment).is_some()) {
                Ok(())
            } else {
                Err("searches from `$` inside a filter; name one member there".to_owned())
            }
        }
        Test::Function(function) => check_function(function),
    }
}

fn check_comparable(comparable: &Comparable) -> Result<(), String> {
    match comparable {
        Comparable::Literal(_) | Comparable::SingularQuery(_) => Ok(()),
        Comparable::Function(function) => check_function(function),
    }
}

fn check_function(function: &TestFunction) -> Result<(), String> {
    let argument = match function {
        TestFunction::Length(argument) => argument,
        TestFunction::Value(argument) | TestFunction::Count(argument) => argument,
        TestFunction::Search(..) | TestFunction::Match(..) | TestFunction::Custom(..) => {
            return Err("has a function other than `length`, `count` and `value`; \
                        use the test `regex` for patterns"
                .to_owned());
        }
    };
    match argument {
        FnArg::Literal(_) => Ok(()),
        FnArg::Test(test) => check_test(test),
        FnArg::Filter(_) => Err("has a filter as an argument".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn finds(text: &str, expected: &[Value]) {
        let record = json!({
            "type": "a", "primary": "e2", "0": "zero",
            "target": [{"type": "App", "id": "a-1"}, {"type": "User", "id": "u-1"},
                {"type": "User", "id": "u-2"}],
            "emails": [{"id": "e1", "address": "x"}, {"id": "e2", "address": "y"}],
            "lists": [[1, 2], [], [3]],
        });
        let found = compile(text).expect(text).all(&record).into_iter().cloned();
        assert_eq!(found.collect::<Vec<_>>(), expected, "{text}");
    }

    #[track_caller]
    fn refuses(text: &str, reason: &str) {
        let error = compile(text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }

    #[test]
    fn a_query_finds_nodes_in_order() {
        finds("$.type", &[json!("a")]);
        finds("$['target'][1]['id']", &[json!("u-1")]);
        finds("$.target[-1].id", &[json!("u-2")]);
        finds("$.target[?@.type=='User'].id", &[json!("u-1"), json!("u-2")]);
        finds("$.target[?@.type=='User' && @.id!='u-1'].id", &[json!("u-2")]);
        finds("$.target[?(@.type=='App' || @.id=='u-2')].id", &[json!("a-1"), json!("u-2")]);
        finds("$.target[?!(@.type=='User')].id", &[json!("a-1")]);
        finds("$.emails[?@.id == $.primary].address", &[json!("y")]);
        finds("$.emails[?@.nope]", &[]);
        finds("$.lists[*][*]", &[json!(1), json!(2), json!(3)]);
        finds("$.lists[?length(@)==2][0]", &[json!(1)]);
        finds("$.lists[?count(@.*)==1][0]", &[json!(3)]);
        finds("$.lists[0:2][0]", &[json!(1)]);
        finds("$.lists[?@[0]>1]", &[json!([3])]);
        finds("$.absent[*].id", &[]);
        // A name finds no element of an array, and a position no member of an object.
        finds("$['0']", &[json!("zero")]);
        finds("$[0]", &[]);
        finds("$.lists['0']", &[]);
    }

    #[test]
    fn a_query_without_a_bound_on_its_cost_is_refused() {
        refuses("$..id", "has `..`");
        refuses("$.a[?@..b]", "has `..`");
        refuses("$.a[0,1]", "several selectors");
        refuses("$.a[?@[0,1]]", "several selectors");
        refuses("$.a[?@.b[?@.c]]", "filter inside a filter");
        refuses("$.a[?$.b[*]]", "searches from `$`");
        refuses("$.a[?$.b[?@.c]]", "searches from `$`");
        refuses("$.a[?match(@.b, 'x')]", "use the test `regex`");
        refuses("$.a[?search(@.b, $.c)]", "use the test `regex`");
        refuses("$.a[::0]", "step 0");
        refuses("$.a[", "is not a JSONPath");
        refuses("$a", "is not a JSONPath");
        refuses(&format!("$.a[?{}@.b{}]", "(".repeat(500), ")".repeat(500)), "is not a JSONPath");
    }
}
