//! The choice of an account to take part in RISC or not (RISC §2.8). The store remembers the
//! accounts that opted out. The other states, "opt-in" and "opt-out-initiated", do not change which
//! events are sent.

use super::{
    event_type::EventType,
    id::ProviderName,
    subject::{
        Subject,
        keys::{SubjectKey, SubjectKeys},
    },
};

/// The effect of a RISC event on the choice of its account, or of that choice on the event. Each
/// variant has the keys of all identifiers of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptOut {
    /// From this event on, the account is opted out.
    Begins(Vec<SubjectKey>),
    /// From this event on, the account takes part again.
    Ends(Vec<SubjectKey>),
    /// The event is not sent if one of these accounts is opted out.
    Respected(Vec<SubjectKey>),
}

impl OptOut {
    /// Returns `None` for an event that is sent in any case and changes no choice: an event of
    /// another family, or one about a choice that is not final.
    pub fn of(event_type: &EventType, provider: &ProviderName, about: &Subject) -> Option<Self> {
        let name = event_type.risc_name()?;
        let keys = SubjectKeys::of_event(provider, about);
        match name {
            // RISC §2.8: only "opt-in" leaves the state "opt-out", so neither of these changes it.
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

    /// Returns the keys of the account that this subject opts out.
    #[track_caller]
    fn account(subject: &[Value]) -> Vec<SubjectKey> {
        match of("risc:opt-out-effective", subject) {
            Some(OptOut::Begins(account)) => account,
            other => panic!("{other:?}"),
        }
    }

    /// RISC-05 (RISC §2.8)
    #[test]
    fn each_risc_event_begins_ends_or_respects_an_opt_out() {
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
        // The account is the tenant's user and not the user without a tenant.
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
