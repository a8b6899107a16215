//! One node polls a source, and another one goes on when it dies.

use serde_json::Value;

use super::daemons::Daemons;
use crate::{
    harness::{eventually, streams::by_poll},
    sources::poll::providers::{Provider, Served},
};

/// The configuration of a source that polls. The provider asks for no credential of it.
fn source(provider: &Provider) -> String {
    format!(
        "[providers.default.sources.kc]\n\
         type = \"/type\"\nid = \"{{/id}}\"\ntime = {{ from = \"/time\", unit = \"ms\" }}\n\
         poll = {{ urls = [\"{}\"], paging = \"time\", time_format = \"ms\", interval = \"100ms\", page_size = 3 }}\n\
         [[providers.default.sources.kc.rules]]\n\
         name = \"logout\"\nwhen = {{ \"/type\" = \"LOGOUT\" }}\nemit = \"caep:session-revoked\"\n\
         subject = {{ user = {{ opaque = \"{{/user}}\" }}, session = {{ opaque = \"{{/session}}\" }} }}\n",
        provider.url("/events?since={since}&first={first}&max={max}"),
    )
}

/// Returns the node whose rounds pass.
async fn polling_node(daemons: &Daemons) -> usize {
    let series =
        r#"ssfd_source_poll_rounds_total{provider="default",source="kc",outcome="complete"}"#;
    let mut before = Vec::new();
    for node in &daemons.nodes {
        before.push(node.metric(series).await);
    }
    let mut polling = None;
    eventually("one of the nodes polls", async || {
        for (n, node) in daemons.nodes.iter().enumerate() {
            if before[n] + 2 <= node.metric(series).await {
                polling = Some(n);
            }
        }
        polling.is_some()
    })
    .await;
    polling.expect("one does")
}

/// Collects SETs until there are as many as records, and then those that come besides.
async fn users(daemons: &Daemons, stream: &str, served: &[Served], taken: &mut Vec<String>) {
    eventually("all arrive", async || {
        let user =
            |claims: &Value| claims["sub_id"]["user"]["id"].as_str().expect("a user").to_owned();
        taken.extend(daemons.take(0, stream).await.iter().map(user));
        served.len() <= taken.len()
    })
    .await;
    let mut expected: Vec<_> = served.iter().map(|record| record.user.clone()).collect();
    expected.sort();
    taken.sort();
    assert_eq!(*taken, expected);
}

#[actix_web::test]
async fn when_the_node_that_polls_dies_another_one_goes_on() {
    let provider = Provider::open_by_time().await;
    let mut daemons = Daemons::start(2, &source(&provider)).await;
    let stream = daemons.create_stream(0, &by_poll()).await;
    let (mut served, mut taken) = (Vec::new(), Vec::new());
    served.extend(provider.show(&[0, 0, 0, 0], "a"));
    users(&daemons, &stream, &served, &mut taken).await;
    for round in 0..2 {
        let polling = polling_node(&daemons).await;
        // The node dies between two pages.
        served.extend(provider.show(&[0, 0, 0, 0, 0, 0, 0], &format!("b-{round}")));
        provider.hang_after(Some(1));
        provider.hangs().await;
        drop(daemons.nodes.remove(polling));
        provider.hang_after(None);
        served.extend(provider.show(&[0, 0], &format!("c-{round}")));
        users(&daemons, &stream, &served, &mut taken).await;
        if round == 0 {
            daemons.add().await;
            daemons.are_balanced().await;
        }
    }
    polling_node(&daemons).await;
    users(&daemons, &stream, &served, &mut taken).await;
}
