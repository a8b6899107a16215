//! Refusals of SETs that are signed with a new key.

use super::*;

/// A Receiver that has not read the JWK Set again says so by one code or another. No SET dies of it, and
/// the stream is not paused.
#[test]
fn refusals_under_a_new_key_are_tried_again_until_one_set_is_accepted() {
    for code in ["invalid_request", "invalid_key", "jws_signature_failed"] {
        let refused = || Outcome::Refused(SetError::new(code, ""));
        let mut world = World::new(settings());
        world.append(0, SetKind::Event);
        world.run(|_| ACCEPTED);
        world.change_key();
        for lane in 1..30 {
            world.append(lane, SetKind::Event);
        }
        world.run(|_| refused());
        world.advance(Duration::from_secs(2));
        world.run(|_| refused());
        let (first, others) = (Seq(1), 29);
        let waiting = |world: &World| world.rows.values().filter(|row| !row.settled).count();
        assert_eq!((world.rows[&first].settled, waiting(&world)), (true, others), "{code}");

        world.until_attempts();
        let known = world.attempts()[0];
        world.attempt_ends(known, &ACCEPTED);
        world.run(|_| Outcome::Refused(SetError::new("invalid_request", "")));
        let again = world.append(31, SetKind::Event);
        world.run(|_| Outcome::Refused(SetError::new("invalid_request", "")));
        assert!(world.rows[&again].settled, "the key is known now, so this is about the SET");
    }
}

#[test]
fn a_refusal_counts_once_the_new_key_had_time_to_be_known_and_for_a_younger_stream() {
    for wait in [Duration::from_mins(15), Duration::from_mins(14)] {
        let mut world = World::new(settings());
        world.change_key();
        world.now = world.now + wait;
        let set = world.append(1, SetKind::Event);
        world.run(|_| Outcome::Refused(SetError::new("invalid_request", "")));
        assert_eq!(world.rows[&set].settled, wait == Duration::from_mins(15));
    }
    let mut world = World::new(settings());
    world.now = Timestamp::EPOCH;
    world.change_key();
    let set = world.append(1, SetKind::Event);
    world.run(|_| Outcome::Refused(SetError::new("invalid_request", "")));
    assert!(world.rows[&set].settled, "the stream was created when the key signed already");
}
