//! The SETs of one stream that speak of one subject.

use crate::domain::subject::SubjectId;

/// Names a lane: SETs of one lane keep their order, those of different lanes go in parallel. Two
/// subjects may share a lane by chance, which costs a wait and never the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(i64);

impl Lane {
    /// The lane of what is published under this identifier. Of `aliases` the first one counts.
    ///
    /// Stored with the SET, so the hash must stay the same from build to build: FNV-1a.
    pub fn of(subject: &SubjectId) -> Self {
        let hash = subject
            .first_plain()
            .canonical()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self(hash.cast_signed())
    }

    /// A lane with one SET in it, named by a drawn number. Each verification has one: its Receiver
    /// knows it by its `state`, and it must not wait for the retry of an earlier one.
    pub const fn alone(drawn: u64) -> Self {
        Self(drawn.cast_signed())
    }

    pub const fn from_i64(raw: i64) -> Self {
        Self(raw)
    }

    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lane_is_the_same_in_every_build() {
        let subject = SubjectId::try_from(json!({"format": "opaque", "id": "s-88"}));
        assert_eq!(Lane::of(&subject.expect("valid")).as_i64(), LANE_OF_S_88);
    }

    #[test]
    fn aliases_go_in_the_lane_of_their_first_identifier() {
        let first = json!({"format": "opaque", "id": "s-88"});
        let other = json!({"format": "opaque", "id": "u-1"});
        let lane = |subject| Lane::of(&SubjectId::try_from(subject).expect("valid"));
        let aliases =
            |list: [&serde_json::Value; 2]| json!({"format": "aliases", "identifiers": list});
        assert_eq!(lane(aliases([&first, &other])), lane(first.clone()));
        assert_eq!(lane(aliases([&other, &first])), lane(other.clone()));
        let of_user = |user| json!({"format": "complex", "user": user});
        assert_eq!(lane(of_user(aliases([&first, &other]))), lane(of_user(first)));
    }

    const LANE_OF_S_88: i64 = -4_693_172_383_016_216_980;
}
