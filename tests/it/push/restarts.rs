//! A stop and a start of the daemon during push delivery.

use tokio::net::TcpStream;

use crate::{
    harness::{eventually, receiver::Receiver, setup::Setup},
    scripted_server::{Gate, Reply},
};

/// P8 of the design.
#[actix_web::test]
async fn a_stop_waits_for_the_attempt_in_flight_which_is_not_repeated() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut receiver = Receiver::start(move |_, _| Reply::status(202).behind(&held)).await;
    let mut setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1", "s-1"]).await;
    let under_way = receiver.next().await;

    let public = setup.daemon.public_url("");
    let answer_late = async {
        let address = public.trim_start_matches("http://");
        let refused = async || TcpStream::connect(address).await.is_err();
        eventually("the listener is closed", refused).await;
        gate.open();
    };
    tokio::join!(setup.daemon.stop(), answer_late);

    setup.daemon.start_again().await;
    // The second SET may have been sent before the stream stopped, or only after the start.
    let second = receiver.next().await;
    assert_ne!(second.jti(), under_way.jti());
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}
