//! Interruptions of real processes. Publishers and Receivers run all the time while the daemon is
//! killed, stopped and started again, or while it loses its disk, its Redis or its clock. At the
//! end, the SETs that the Receivers got are compared with the events that were accepted.
//!
//! - `system` starts the daemons, the servers and the traffic, and interrupts them.
//! - `traffic` publishes and polls without pause, whatever happens to the daemons.
//! - `ledger` records what was accepted and what arrived, and compares them.

mod ledger;
mod system;
mod traffic;

use ssfd::clock;

use self::system::System;
use crate::harness::proxy::ConnectionState;

/// Promises P1 to P3 of the design hold even if no process ends in an orderly way.
#[actix_web::test]
async fn a_daemon_killed_at_random_moments_loses_nothing() {
    kill_repeatedly(System::start().await, 24).await;
}

#[actix_web::test]
async fn a_daemon_killed_with_its_store_in_redis_loses_nothing() {
    kill_repeatedly(System::start_on_redis().await, 24).await;
}

/// On a Cluster, one batch is spread over several slots on several servers.
#[actix_web::test]
async fn a_daemon_killed_with_its_store_in_a_cluster_loses_nothing() {
    kill_repeatedly(System::start_on_cluster().await, 12).await;
}

async fn kill_repeatedly(mut system: System, times: usize) {
    for _ in 0..times {
        system.wait_for_arrivals().await;
        system.kill();
        system.start_again().await;
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

/// Promise P8: a stop finishes every attempt in flight, so no SET arrives twice.
#[actix_web::test]
async fn a_daemon_stopped_at_random_moments_sends_nothing_twice() {
    let mut system = System::start_with_patient_poll().await;
    for _ in 0..12 {
        system.wait_for_arrivals().await;
        system.stop().await;
        system.start_again().await;
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
    report.assert_no_copies();
}

#[actix_web::test]
async fn an_outage_of_the_publishers_redis_loses_nothing() {
    interrupt_redis(System::start().await).await;
}

/// Attempts and results that were recorded before the outage are those that the server kept.
#[actix_web::test]
async fn an_outage_of_the_stores_redis_loses_nothing() {
    interrupt_redis(System::start_on_redis().await).await;
}

async fn interrupt_redis(mut system: System) {
    for round in 0..8 {
        system.wait_for_arrivals().await;
        system.kill_redis();
        if round % 2 == 0 {
            system.kill();
            system.start_redis().await;
            system.start_again().await;
        } else {
            system.start_redis().await;
        }
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

#[actix_web::test]
async fn an_outage_of_the_receiver_loses_nothing() {
    let mut system = System::start().await;
    system.set_receiver_down(true);
    for _ in 0..4 {
        system.wait_for_arrivals().await;
        system.kill();
        system.start_again().await;
    }
    system.set_receiver_down(false);
    for _ in 0..4 {
        system.wait_for_arrivals().await;
        system.kill();
        system.start_again().await;
    }
    let report = system.finish().await;
    report.assert_complete();
}

/// Once a file cannot grow any further, every write of the store fails. An event that was not
/// written was not accepted.
#[actix_web::test]
async fn with_a_full_disk_events_are_refused_and_none_is_lost() {
    let system = System::start_with_small_disk().await;
    system.wait_for_refusals().await;
    system.lift_the_disk_limit();
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

/// SETs that are stored are delivered meanwhile, also after a start.
#[actix_web::test]
async fn a_store_whose_memory_is_used_up_now_and_then_loses_nothing() {
    let mut system = System::start_on_redis().await;
    for round in 0..6 {
        system.wait_for_arrivals().await;
        system.limit_memory("1").await;
        system.wait_for_more_refusals().await;
        if round % 2 == 0 {
            system.kill();
            system.start_again().await;
            system.wait_for_more_refusals().await;
        }
        system.limit_memory("0").await;
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

#[actix_web::test]
async fn a_store_whose_replica_comes_and_goes_loses_nothing() {
    let mut system = System::start_on_replicated_redis().await;
    for round in 0..4 {
        system.wait_for_arrivals().await;
        system.kill_replica();
        system.wait_for_more_refusals().await;
        if round % 2 == 0 {
            system.kill();
            system.start_again().await;
            system.wait_for_more_refusals().await;
        }
        system.start_replica().await;
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

/// A log that takes no line is no reason to lose an event.
#[actix_web::test]
async fn a_daemon_killed_with_a_full_log_loses_nothing() {
    let mut system = System::start_with_full_log().await;
    for _ in 0..6 {
        system.wait_for_arrivals().await;
        system.kill();
        system.start_again().await;
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

/// Four days ahead for a while: nothing that waits is given up, though its Receiver is down.
#[actix_web::test]
async fn a_clock_that_steps_ahead_for_a_while_gives_nothing_up() {
    let system = System::start_on_clock("+0s").await;
    system.wait_for_arrivals().await;
    for _ in 0..2 {
        system.set_receiver_down(true);
        system.set_clock("+4d");
        system.wait_for_polls().await;
        system.set_clock("+0s");
        system.set_receiver_down(false);
        system.wait_for_arrivals().await;
    }
    let report = system.finish().await;
    report.assert_complete();
}

/// The step back is what happens when an administrator corrects a clock that was an hour fast.
#[actix_web::test]
async fn a_clock_that_steps_back_holds_nothing_up() {
    let mut system = System::start_on_clock("+0s").await;
    system.receiver_refuses_every_tenth();
    system.wait_for_arrivals().await;
    system.set_clock("-1h");
    system.wait_for_arrivals().await;
    system.kill();
    system.start_again().await;
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

/// Returns one of three nodes at random.
fn any_node() -> usize {
    usize::from(clock::random_uuid().as_bytes()[0] % 3)
}

/// Promises P1 to P3 hold on several nodes, some of which end while others sleep beyond the end of
/// their lease.
#[actix_web::test]
async fn three_nodes_that_are_killed_stopped_and_suspended_lose_nothing() {
    let mut system = System::start_three_nodes().await;
    for round in 0..12 {
        system.wait_for_arrivals().await;
        let node = any_node();
        match round % 3 {
            0 => {
                system.kill_node(node);
                system.wait_for_arrivals().await;
                system.start_node(node).await;
            }
            1 => {
                system.signal_node(node, "STOP");
                system.wait_for_nodes(2).await;
                system.wait_for_arrivals().await;
                system.signal_node(node, "CONT");
                system.wait_for_nodes(3).await;
            }
            _ => {
                system.stop_node(node).await;
                system.wait_for_arrivals().await;
                system.start_node(node).await;
            }
        }
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

/// Commands that were sent over a stalled connection arrive after other nodes have taken over.
#[actix_web::test]
async fn three_nodes_whose_connections_to_redis_stall_and_are_cut_lose_nothing() {
    let mut system = System::start_three_nodes().await;
    for round in 0..9 {
        system.wait_for_arrivals().await;
        let node = any_node();
        match round % 3 {
            0 | 1 => {
                let trouble =
                    if round % 3 == 0 { ConnectionState::Stalled } else { ConnectionState::Cut };
                system.set_connection(node, trouble);
                system.wait_for_nodes(2).await;
                system.wait_for_arrivals().await;
                system.set_connection(node, ConnectionState::Open);
                system.wait_for_nodes(3).await;
            }
            _ => {
                system.kill_redis();
                system.start_redis().await;
            }
        }
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}

/// The failover is orderly, so that the Cluster itself loses nothing.
#[actix_web::test]
async fn three_nodes_whose_cluster_fails_over_lose_nothing() {
    let mut system = System::start_three_nodes_on_cluster().await;
    for replica in 0..3 {
        system.wait_for_arrivals().await;
        system.fail_over_to(replica).await;
        system.wait_for_arrivals().await;
        let node = any_node();
        system.kill_node(node);
        system.wait_for_arrivals().await;
        system.start_node(node).await;
    }
    system.wait_for_arrivals().await;
    let report = system.finish().await;
    report.assert_complete();
}
