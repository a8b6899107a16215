//! The arguments of the heartbeat script (`heartbeat.lua`) and its reply. Nodes of different
//! versions share one store, so this format must stay compatible.

use std::{collections::BTreeMap, fmt::Display, str::FromStr, time::Duration};

use crate::{
    cluster::membership::{
        Heartbeat, HeartbeatReply, NodeId, NodeStage,
        shares::{Epoch, ReturnedShare, ShareRequest},
    },
    store::{StoreError, redis::link::RawHeartbeatReply, slot::Slot},
};

pub(super) fn arguments(heartbeat: &Heartbeat, lease_ttl: Duration) -> Vec<String> {
    let mut arguments = vec![
        heartbeat.node.to_string(),
        lease_ttl.as_millis().to_string(),
        stage_text(heartbeat.stage).to_owned(),
        u8::from(heartbeat.joins).to_string(),
    ];
    push_request(&mut arguments, &heartbeat.slots, |slot| slot.number().to_string());
    push_request(&mut arguments, &heartbeat.partitions, String::clone);
    arguments
}

fn push_request<S>(
    arguments: &mut Vec<String>,
    request: &ShareRequest<S>,
    name: impl Fn(&S) -> String,
) {
    arguments.push(request.quota.to_string());
    arguments.push(request.returned.len().to_string());
    for ReturnedShare { share, epoch, highest_epoch } in &request.returned {
        arguments.extend([name(share), epoch.to_string(), highest_epoch.to_string()]);
    }
    arguments.push(request.wanted.len().to_string());
    arguments.extend(request.wanted.iter().map(name));
}

pub(super) fn reply(raw: Option<RawHeartbeatReply>) -> Result<HeartbeatReply, StoreError> {
    let Some((nodes, slots, partitions)) = raw else { return Ok(HeartbeatReply::Expired) };
    let nodes = pairs(nodes).map(|(node, stage)| Ok((NodeId(node), stage_of(&stage)?)));
    let slots = pairs(slots).map(|(slot, epoch)| {
        let number = parsed(&slot)?;
        Ok((Slot::numbered(number).ok_or_else(|| unreadable(&slot))?, parsed(&epoch)?))
    });
    let partitions = pairs(partitions).map(|(partition, epoch)| Ok((partition, parsed(&epoch)?)));
    Ok(HeartbeatReply::Alive {
        nodes: nodes.collect::<Result<BTreeMap<NodeId, NodeStage>, StoreError>>()?,
        slots: slots.collect::<Result<Vec<(Slot, Epoch)>, StoreError>>()?,
        partitions: partitions.collect::<Result<Vec<(String, Epoch)>, StoreError>>()?,
    })
}

fn pairs(flat: Vec<String>) -> impl Iterator<Item = (String, String)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(move || flat.next().zip(flat.next()))
}

fn stage_text(stage: NodeStage) -> &'static str {
    match stage {
        NodeStage::Serving => "serving",
        NodeStage::Draining => "leaving",
    }
}

fn stage_of(text: &str) -> Result<NodeStage, StoreError> {
    let stage =
        [NodeStage::Serving, NodeStage::Draining].into_iter().find(|s| stage_text(*s) == text);
    stage.ok_or_else(|| unreadable(text))
}

fn parsed<T: FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| unreadable(text))
}

fn unreadable(text: impl Display) -> StoreError {
    StoreError::Corrupt(format!("`{text}` in the reply to a heartbeat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::numbered(number).expect("a slot")
    }

    #[test]
    fn a_heartbeat_becomes_arguments_in_the_order_of_the_script() {
        let heartbeat = Heartbeat {
            node: NodeId("n1~a".into()),
            joins: true,
            stage: NodeStage::Serving,
            slots: ShareRequest {
                quota: 2,
                wanted: vec![slot(0), slot(255)],
                returned: vec![ReturnedShare { share: slot(7), epoch: 5, highest_epoch: 9 }],
            },
            partitions: ShareRequest { quota: 0, wanted: vec![], returned: vec![] },
        };
        let expected = [
            "n1~a", "5000", "serving", "1", "2", "1", "7", "5", "9", "2", "0", "255", "0", "0", "0",
        ];
        assert_eq!(arguments(&heartbeat, Duration::from_secs(5)), expected);
    }

    #[test]
    fn a_reply_lists_the_live_nodes_and_the_shares_of_this_node() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(reply(None).expect("readable"), HeartbeatReply::Expired);
        let raw = (
            texts(&["n1", "serving", "n2", "leaving"]),
            texts(&["255", "1764000000000001"]),
            texts(&["acme:0", "3"]),
        );
        let expected = HeartbeatReply::Alive {
            nodes: [
                (NodeId("n1".into()), NodeStage::Serving),
                (NodeId("n2".into()), NodeStage::Draining),
            ]
            .into(),
            slots: vec![(slot(255), 1_764_000_000_000_001)],
            partitions: vec![("acme:0".into(), 3)],
        };
        assert_eq!(reply(Some(raw)).expect("readable"), expected);
        let odd = (texts(&[]), texts(&["256", "1"]), texts(&[]));
        assert!(reply(Some(odd)).is_err());
    }
}
