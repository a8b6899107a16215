//! Accounts that opted out of RISC (RISC §2.8). All are in one place, because they are few and are judged
//! in the order of their events, whatever streams the events go to.

use super::{script, script::Call, slots::Slots};
use crate::{
    domain::{opt_out::OptOut, subject::keys::SubjectKey},
    store::StoreError,
};

/// Adds the effect of an event on its account's choice to opt out, in the form that `accounts.lua`
/// reads.
pub(super) fn push(call: &mut Call, opt_out: &OptOut) {
    let (letter, account) = match opt_out {
        OptOut::Begins(account) => ("b", account),
        OptOut::Ends(account) => ("e", account),
        OptOut::Respected(accounts) => ("r", accounts),
    };
    push_keys(call, letter, account);
}

fn push_keys(call: &mut Call, letter: &str, keys: &[SubjectKey]) {
    call.push((letter, keys.len()));
    for key in keys {
        call.push(&key.0[..]);
    }
}

pub(super) async fn is_any_opted_out(
    slots: &Slots,
    accounts: &[SubjectKey],
) -> Result<bool, StoreError> {
    let mut call = slots.call_shared(&script::JUDGE_ACCOUNTS);
    push_keys(&mut call, "r", accounts);
    let kept: String = slots.run(call).await?;
    Ok(kept == "1")
}
