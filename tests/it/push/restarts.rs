//! What a stop leaves behind, and what a start makes of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::net::TcpStream;

use crate::{
    harness::{eventually, receiver::Receiver, scene::Scene},
    scripted_server::{Gate, Reply},
};

/// SET-06, PUSH-07: signed anew, the SET is the same.
#[actix_web::test]
async fn a_retry_after_a_restart_has_the_same_claims() {
    let healthy = Arc::new(AtomicBool::new(false));
    let now_healthy = Arc::clone(&healthy);
    let mut receiver = Receiver::start(move |_, _| {
        Reply::status(if healthy.load(Ordering::SeqCst) { 202 } else { 503 })
    })
    .await;
    let mut scene = Scene::pushing_to(&receiver).await;
    scene.publish(&["s-1"]).await;
    let before = receiver.next().await.claims();

    scene.daemon.stop().await;
    receiver.rest();
    now_healthy.store(true, Ordering::SeqCst);
    scene.daemon.start_again().await;

    assert_eq!(receiver.next().await.claims(), before);
    scene.settled().await;
    assert!(receiver.rest().is_empty());
}

/// P8 of the design.
#[actix_web::test]
async fn a_stop_waits_for_the_attempt_under_way_which_is_not_repeated() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut receiver = Receiver::start(move |_, _| Reply::status(202).behind(&held)).await;
    let mut scene = Scene::pushing_to(&receiver).await;
    scene.publish(&["s-1", "s-1"]).await;
    let under_way = receiver.next().await;

    let public = scene.daemon.public_url("");
    let answer_late = async {
        let address = public.trim_start_matches("http://");
        let refused = async || TcpStream::connect(address).await.is_err();
        eventually("the listener is closed", refused).await;
        gate.open();
    };
    tokio::join!(scene.daemon.stop(), answer_late);

    scene.daemon.start_again().await;
    // The second may have gone out before the stream was told to stop, or only now.
    let second = receiver.next().await;
    assert_ne!(second.jti(), under_way.jti());
    scene.settled().await;
    assert!(receiver.rest().is_empty());
}
