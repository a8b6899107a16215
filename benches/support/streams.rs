//! Streams that are put into the store before the daemon starts, because creating a hundred
//! thousand through the interface would take too long.

use futures_util::{StreamExt as _, stream};
use ssfd::{
    domain::{
        audience::Audience,
        status::StreamStatus,
        stream::{Delivery, PushEndpoint, StreamConfig},
        subject::{format::SubjectFormat, list::DefaultSubjects},
        time::Timestamp,
    },
    store::Store,
};

use super::{TYPE, backend::FILLED_TOGETHER};

/// The number of streams of one Receiver in runs with many streams. Creating a stream counts those
/// of its Receiver, so each Receiver has few.
const STREAMS_EACH: usize = 100;

/// Returns a stream of the Receiver `rx` that gets all events of one type.
pub(crate) fn addressed(id: &str, event_type: &str, delivery: Delivery) -> StreamConfig {
    StreamConfig {
        id: id.parse().expect("a valid id"),
        provider: "default".parse().expect("a valid name"),
        receiver: "rx".parse().expect("a valid id"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        events_requested: Some(vec![event_type.to_owned()]),
        delivery,
        description: None,
        default_subjects: DefaultSubjects::All,
        subject_format: SubjectFormat::AsPublished,
        status: StreamStatus::Enabled,
        reason: None,
        version: 1,
        created_at: Timestamp::from_millis(1_700_000_000_000),
    }
}

/// Returns streams that no event reaches: half of them request the type of all events but have no
/// subjects, and the others request another type.
pub(crate) fn idle(count: usize) -> impl Iterator<Item = StreamConfig> {
    (0..count).map(|n| {
        let endpoint = push_to(&format!("https://rx-{n}.example/in"));
        let wanted = if n % 2 == 0 { TYPE.to_owned() } else { other_type() };
        let default_subjects =
            if n % 2 == 0 { DefaultSubjects::None } else { DefaultSubjects::All };
        let stream = addressed(&format!("st_idle_{n}"), &wanted, endpoint);
        of_many(n, StreamConfig { default_subjects, ..stream })
    })
}

/// Assigns the `n`th of many streams to a Receiver that has few.
pub(crate) fn of_many(n: usize, stream: StreamConfig) -> StreamConfig {
    let receiver = format!("rx-{}", n / STREAMS_EACH).parse().expect("a valid id");
    StreamConfig { receiver, ..stream }
}

/// Returns an event type other than [`TYPE`] without required members.
pub(crate) fn other_type() -> String {
    TYPE.replace("session-revoked", "session-established")
}

pub(crate) fn push_to(url: &str) -> Delivery {
    Delivery::Push(PushEndpoint::new(url, None, false).expect("a valid endpoint"))
}

/// Puts streams into the store.
pub(crate) async fn register(store: &dyn Store, streams: impl IntoIterator<Item = StreamConfig>) {
    let creating = streams.into_iter().map(|stream| store.create_stream(stream, usize::MAX));
    let mut creating = stream::iter(creating).buffer_unordered(FILLED_TOGETHER.get());
    while let Some(created) = creating.next().await {
        created.expect("created");
    }
}
