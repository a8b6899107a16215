//! The process is killed after a request was taken in and before its sender has the answer.

use std::net::TcpStream;

use super::{
    SECRET, logout,
    process::{PATH, PolledStream, addresses, workplace, write_request},
};
use crate::{command_line::ask, harness::eventually};

#[actix_web::test]
async fn a_request_whose_answer_was_lost_gives_one_set_after_its_repetition() {
    let place = workplace();
    let mut daemon = place.serve();
    let at = addresses(&mut daemon);
    let stream = PolledStream::create(&place, &at.public);
    let jtis = |public: &str, acks: &[String]| -> Vec<String> {
        stream.poll(public, acks).into_iter().map(|(jti, _)| jti).collect()
    };
    let record = logout("1", "kim");
    // The sender never reads its answer.
    let mut sender = TcpStream::connect(&at.sources).expect("it listens");
    write_request(&mut sender, &record).expect("written");
    let mut first = Vec::new();
    eventually("the SET is there", async || {
        first = jtis(&at.public, &[]);
        !first.is_empty()
    })
    .await;
    daemon.signal("KILL");
    daemon.ends();
    drop(sender);

    let mut daemon = place.serve();
    let at = addresses(&mut daemon);
    for _ in 0..2 {
        let request = format!("POST {PATH}");
        let (status, _) = ask(&at.sources, &request, Some(SECRET), &record.to_string());
        assert_eq!(status, 200);
    }
    let again = jtis(&at.public, &first);
    assert!(again.is_empty() || again == first, "{first:?}, {again:?}");
    let left = jtis(&at.public, &first);
    assert!(left.is_empty(), "{left:?}");
}
