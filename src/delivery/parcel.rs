//! SETs that go to a Receiver together, and the outcome of each of them.
//!
//! A push carries one SET today (RFC 8935 §2), and the answer to a poll carries many (RFC 8936 §2.3).
//! Both are a [`Parcel`].

use bytes::Bytes;

use crate::delivery::{outbox::PendingSet, outcome::Outcome};

/// A SET in the form in which it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedSet {
    pub set: PendingSet,
    /// The compact JWS (RFC 7515 §7.1).
    pub jws: Bytes,
}

/// SETs that go to one Receiver together, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parcel(Vec<SignedSet>);

impl Parcel {
    pub fn one(set: PendingSet, jws: Bytes) -> Self {
        Self(vec![SignedSet { set, jws }])
    }

    pub fn sets(&self) -> &[SignedSet] {
        &self.0
    }

    pub fn into_sets(self) -> Vec<SignedSet> {
        self.0
    }
}

impl FromIterator<SignedSet> for Parcel {
    fn from_iter<I: IntoIterator<Item = SignedSet>>(sets: I) -> Self {
        Self(sets.into_iter().collect())
    }
}

/// The outcomes of an attempt to deliver a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcomes {
    /// The same for every SET, as when the endpoint was not reached: the endpoint answered once.
    All(Outcome),
    /// The endpoint answered for each SET, in the order of the parcel.
    Each(Vec<Outcome>),
}

impl Outcomes {
    /// The outcome of the SET at this place of the parcel.
    pub fn of(&self, place: usize) -> &Outcome {
        match self {
            Self::All(outcome) => outcome,
            Self::Each(outcomes) => &outcomes[place],
        }
    }

    /// The answers of the endpoint: one for all SETs, or one for each.
    pub fn answers(&self) -> &[Outcome] {
        match self {
            Self::All(outcome) => std::slice::from_ref(outcome),
            Self::Each(outcomes) => outcomes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::outcome::FailureClass;

    #[test]
    fn every_set_of_a_parcel_has_an_outcome() {
        let accepted = Outcome::Accepted { status: 202 };
        let down = Outcome::failed(FailureClass::Connect, "refused");
        let all = Outcomes::All(down.clone());
        assert_eq!((all.of(0), all.of(1), all.answers().len()), (&down, &down, 1));
        let each = Outcomes::Each(vec![accepted.clone(), down.clone()]);
        assert_eq!((each.of(0), each.of(1), each.answers().len()), (&accepted, &down, 2));
    }
}
