//! Whether an account takes part in RISC (RISC §2.8). An account that opted out is remembered; of the
//! other states, "opt-in" and "opt-out-initiated", nothing follows for what is sent.

use super::{
    event_type::EventType,
    id::ProviderName,
    subject::{
        Subject,
        keys::{SubjectKey, SubjectKeys},
    },
};

/// What an event of RISC has to do with the choice of its account, under all that names that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptOut {
    /// From this event on the account is opted out.
    Begins(Vec<SubjectKey>),
    /// From this event on it takes part again.
    Ends(Vec<SubjectKey>),
    /// The event is not sent if one of these accounts is opted out.
    Respected(Vec<SubjectKey>),
}

impl OptOut {
    /// `None` for an event that is sent either way and changes nothing: of another family, or about
    /// a choice that is not made yet.
    pub fn of(event_type: &EventType, provider: &ProviderName, about: &Subject) -> Option<Self> {
        let name = event_type.risc_name()?;
        let keys = SubjectKeys::of_event(provider, about);
        match name {
            // The only way out of "opt-out" is "opt-in" (RISC §2.8): neither of these changes it.
            "opt-out-initiated" | "opt-out-cancelled" => None,
            "opt-out-effective" => Some(Self::Begins(keys.account())),
            "opt-in" => Some(Self::Ends(keys.account())),
            _ => Some(Self::Respected(keys.accounts())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(event_type: &str, subject: &[Value]) -> Option<OptOut> {
        let about = Subject::try_from(subject.to_vec()).expect("a valid subject");
        let event_type = event_type.parse().expect("a known type");
        OptOut::of(&event_type, &"acme".parse().expect("a valid name"), &about)
    }

    fn email(local: &str) -> Value {
        json!({"format": "email", "email": format!("{local}@example.com")})
    }

    fn complex(members: &[(&str, Value)]) -> Value {
        let mut subject = json!({"format": "complex"});
        for (name, part) in members {
            subject[name] = part.clone();
        }
        subject
    }

    /// The keys of the account that this opts out.
    #[track_caller]
    fn account(subject: &[Value]) -> Vec<SubjectKey> {
        match of("risc:opt-out-effective", subject) {
            Some(OptOut::Begins(account)) => account,
            other => panic!("{other:?}"),
        }
    }

    /// RISC-05 (RISC §2.8)
    #[test]
    fn each_event_of_risc_has_its_part_and_no_other_has_any() {
        let kim = [email("kim")];
        let keys = account(&kim);
        assert_eq!(of("risc:opt-in", &kim), Some(OptOut::Ends(keys.clone())));
        for respecting in ["risc:account-disabled", "risc:sessions-revoked"] {
            assert_eq!(of(respecting, &kim), Some(OptOut::Respected(keys.clone())));
        }
        for indifferent in
            ["risc:opt-out-initiated", "risc:opt-out-cancelled", "caep:session-revoked"]
        {
            assert_eq!(of(indifferent, &kim), None, "{indifferent}");
        }
    }

    #[test]
    fn an_account_is_the_same_by_each_identifier_and_as_a_user() {
        let (kim, k) = (account(&[email("kim")]), account(&[email("k")]));
        assert_eq!(account(&[email("kim"), email("k")]), [kim.clone(), k.clone()].concat());
        assert_eq!(account(&[complex(&[("user", email("kim"))])]), kim);
        // Of a tenant's user alone, not of the user anywhere.
        let in_tenant = complex(&[("user", email("kim")), ("tenant", email("t"))]);
        let in_tenant = [in_tenant];
        assert!(!account(&in_tenant).contains(&kim[0]));
        match of("risc:account-disabled", &in_tenant) {
            Some(OptOut::Respected(accounts)) => {
                assert_eq!(accounts, [account(&in_tenant), kim].concat());
            }
            other => panic!("{other:?}"),
        }
    }
}
