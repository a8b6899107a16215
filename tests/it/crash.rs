//! What no interruption may change: whoever publishes and whoever receives go on all the time while
//! the daemon is killed, stopped and started, or loses its disk, its Redis or its clock. At the end
//! what the Receivers got is held against what was accepted.

mod ledger;
mod traffic;
mod trial;

use ssfd::clock;

use self::trial::Trial;
use crate::harness::proxy::Line;

/// Promises P1 to P3 of the design, where nothing ends as it should.
#[actix_web::test]
async fn killed_at_random_moments_it_loses_nothing() {
    is_killed_and_loses_nothing(Trial::start().await, 24).await;
}

#[actix_web::test]
async fn killed_on_redis_it_loses_nothing() {
    is_killed_and_loses_nothing(Trial::start_on_redis().await, 24).await;
}

/// A batch is then in several slots on several servers.
#[actix_web::test]
async fn killed_on_a_cluster_it_loses_nothing() {
    is_killed_and_loses_nothing(Trial::start_on_cluster().await, 12).await;
}

async fn is_killed_and_loses_nothing(mut trial: Trial, times: usize) {
    for _ in 0..times {
        trial.some_arrive().await;
        trial.kill();
        trial.start_again().await;
    }
    trial.some_arrive().await;
    let found = trial.finish().await;
    found.assert_complete();
}

/// Promise P8: what is under way at a stop is finished, so nothing comes twice.
#[actix_web::test]
async fn stopped_at_random_moments_it_sends_nothing_twice() {
    let mut trial = Trial::start().await;
    for _ in 0..12 {
        trial.some_arrive().await;
        trial.stop().await;
        trial.start_again().await;
    }
    trial.some_arrive().await;
    let found = trial.finish().await;
    found.assert_complete();
    found.assert_no_copies();
}

#[actix_web::test]
async fn redis_may_go_and_come_back() {
    loses_redis_for_a_while(Trial::start().await).await;
}

/// What was settled, and what was begun, is what the server kept.
#[actix_web::test]
async fn redis_may_go_and_come_back_with_the_store() {
    loses_redis_for_a_while(Trial::start_on_redis().await).await;
}

async fn loses_redis_for_a_while(mut trial: Trial) {
    for round in 0..8 {
        trial.some_arrive().await;
        trial.kill_redis();
        if round % 2 == 0 {
            trial.kill();
            trial.start_redis().await;
            trial.start_again().await;
        } else {
            trial.start_redis().await;
        }
    }
    trial.some_arrive().await;
    let found = trial.finish().await;
    found.assert_complete();
}

#[actix_web::test]
async fn a_receiver_may_be_down_for_the_first_half() {
    let mut trial = Trial::start().await;
    trial.receiver_is_down(true);
    for _ in 0..4 {
        trial.some_arrive().await;
        trial.kill();
        trial.start_again().await;
    }
    trial.receiver_is_down(false);
    for _ in 0..4 {
        trial.some_arrive().await;
        trial.kill();
        trial.start_again().await;
    }
    let found = trial.finish().await;
    found.assert_complete();
}

/// A file can grow no further: every write of the store fails, and what was not written was not
/// accepted.
#[actix_web::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let trial = Trial::start_with_small_disk().await;
    trial.refusals_come().await;
    trial.make_disk_large();
    trial.some_arrive().await;
    let found = trial.finish().await;
    found.assert_complete();
}

/// As when an administrator corrects a clock that was an hour fast.
#[actix_web::test]
async fn a_clock_that_steps_back_holds_nothing_up() {
    let mut trial = Trial::start_on_clock("+0s").await;
    trial.receiver_refuses_every_tenth();
    trial.some_arrive().await;
    trial.set_clock("-1h");
    trial.some_arrive().await;
    trial.kill();
    trial.start_again().await;
    trial.some_arrive().await;
    let found = trial.finish().await;
    found.assert_complete();
}

/// One of three, by chance.
fn any_node() -> usize {
    usize::from(clock::random_uuid().as_bytes()[0] % 3)
}

/// Promises P1 to P3 on several nodes, of which some end, and others sleep through their lease.
#[actix_web::test]
async fn three_nodes_that_are_killed_and_stopped_and_sleep_lose_nothing() {
    let mut trial = Trial::start_three_nodes().await;
    for round in 0..12 {
        trial.some_arrive().await;
        let node = any_node();
        match round % 3 {
            0 => {
                trial.kill_node(node);
                trial.some_arrive().await;
                trial.start_node(node).await;
            }
            1 => {
                trial.signal_node(node, "STOP");
                trial.nodes_are(2).await;
                trial.some_arrive().await;
                trial.signal_node(node, "CONT");
                trial.nodes_are(3).await;
            }
            _ => {
                trial.stop_node(node).await;
                trial.some_arrive().await;
                trial.start_node(node).await;
            }
        }
    }
    trial.some_arrive().await;
    let found = trial.finish().await;
    found.assert_complete();
}

/// What was sent over a line that stalls arrives when others have gone on.
#[actix_web::test]
async fn three_nodes_whose_lines_to_redis_stall_and_are_cut_lose_nothing() {
    let mut trial = Trial::start_three_nodes().await;
    for round in 0..9 {
        trial.some_arrive().await;
        let node = any_node();
        match round % 3 {
            0 | 1 => {
                let trouble = if round % 3 == 0 { Line::Stalls } else { Line::IsCut };
                trial.set_line(node, trouble);
                trial.nodes_are(2).await;
                trial.some_arrive().await;
                trial.set_line(node, Line::Passes);
                trial.nodes_are(3).await;
            }
            _ => {
                trial.kill_redis();
                trial.start_redis().await;
            }
        }
    }
    trial.some_arrive().await;
    let found = trial.finish().await;
    found.assert_complete();
}

/// In order, so that the Cluster itself loses nothing.
#[actix_web::test]
async fn three_nodes_whose_cluster_fails_over_lose_nothing() {
    let mut trial = Trial::start_three_nodes_on_cluster().await;
    for replica in 0..3 {
        trial.some_arrive().await;
        trial.fail_over_to(replica).await;
        trial.some_arrive().await;
        let node = any_node();
        trial.kill_node(node);
        trial.some_arrive().await;
        trial.start_node(node).await;
    }
    trial.some_arrive().await;
    let found = trial.finish().await;
    found.assert_complete();
}
