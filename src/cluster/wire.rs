//! A heartbeat as the arguments of its script, and the script's answer.

use std::{collections::BTreeMap, fmt::Display, str::FromStr, time::Duration};

use super::{
    membership::{Answer, Beat, NodeId, Stage},
    shares::{Epoch, Return, Wish},
};
use crate::store::{StoreError, redis::link::Heard, slot::Slot};

pub(super) fn arguments(beat: &Beat, lease_ttl: Duration) -> Vec<String> {
    let mut arguments = vec![
        beat.node.to_string(),
        lease_ttl.as_millis().to_string(),
        stage_text(beat.stage).to_owned(),
        u8::from(beat.joins).to_string(),
    ];
    push_wish(&mut arguments, &beat.slots, |slot| slot.number().to_string());
    push_wish(&mut arguments, &beat.partitions, String::clone);
    arguments
}

fn push_wish<S>(arguments: &mut Vec<String>, wish: &Wish<S>, name: impl Fn(&S) -> String) {
    arguments.push(wish.quota.to_string());
    arguments.push(wish.returned.len().to_string());
    for Return { share, epoch, beyond } in &wish.returned {
        arguments.extend([name(share), epoch.to_string(), beyond.to_string()]);
    }
    arguments.push(wish.wanted.len().to_string());
    arguments.extend(wish.wanted.iter().map(name));
}

pub(super) fn answer(said: Option<Heard>) -> Result<Answer, StoreError> {
    let Some((nodes, slots, partitions)) = said else { return Ok(Answer::Lapsed) };
    let nodes = pairs(nodes).map(|(node, stage)| Ok((NodeId(node), stage_of(&stage)?)));
    let slots = pairs(slots).map(|(slot, epoch)| {
        let number = parsed(&slot)?;
        Ok((Slot::numbered(number).ok_or_else(|| unreadable(&slot))?, parsed(&epoch)?))
    });
    let partitions = pairs(partitions).map(|(partition, epoch)| Ok((partition, parsed(&epoch)?)));
    Ok(Answer::Alive {
        nodes: nodes.collect::<Result<BTreeMap<NodeId, Stage>, StoreError>>()?,
        slots: slots.collect::<Result<Vec<(Slot, Epoch)>, StoreError>>()?,
        partitions: partitions.collect::<Result<Vec<(String, Epoch)>, StoreError>>()?,
    })
}

fn pairs(flat: Vec<String>) -> impl Iterator<Item = (String, String)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(move || flat.next().zip(flat.next()))
}

fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Serving => "serving",
        Stage::Leaving => "leaving",
    }
}

fn stage_of(text: &str) -> Result<Stage, StoreError> {
    let stage = [Stage::Serving, Stage::Leaving].into_iter().find(|s| stage_text(*s) == text);
    stage.ok_or_else(|| unreadable(text))
}

fn parsed<T: FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| unreadable(text))
}

fn unreadable(text: impl Display) -> StoreError {
    StoreError::Corrupt(format!("what nodes share has `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::numbered(number).expect("a slot")
    }

    #[test]
    fn a_heartbeat_is_its_arguments_in_their_order() {
        let beat = Beat {
            node: NodeId("n1~a".into()),
            joins: true,
            stage: Stage::Serving,
            slots: Wish {
                quota: 2,
                wanted: vec![slot(0), slot(255)],
                returned: vec![Return { share: slot(7), epoch: 5, beyond: 9 }],
            },
            partitions: Wish { quota: 0, wanted: vec![], returned: vec![] },
        };
        let expected = [
            "n1~a", "5000", "serving", "1", "2", "1", "7", "5", "9", "2", "0", "255", "0", "0", "0",
        ];
        assert_eq!(arguments(&beat, Duration::from_secs(5)), expected);
    }

    #[test]
    fn an_answer_tells_who_lives_and_what_is_held() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(answer(None).expect("understood"), Answer::Lapsed);
        let said = (
            texts(&["n1", "serving", "n2", "leaving"]),
            texts(&["255", "1764000000000001"]),
            texts(&["acme:0", "3"]),
        );
        let expected = Answer::Alive {
            nodes: [(NodeId("n1".into()), Stage::Serving), (NodeId("n2".into()), Stage::Leaving)]
                .into(),
            slots: vec![(slot(255), 1_764_000_000_000_001)],
            partitions: vec![("acme:0".into(), 3)],
        };
        assert_eq!(answer(Some(said)).expect("understood"), expected);
        let odd = (texts(&[]), texts(&["256", "1"]), texts(&[]));
        assert!(answer(Some(odd)).is_err());
    }
}
