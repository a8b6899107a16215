//! Replay: a stream gets again the SETs that it was sent.

use actix_web::{HttpResponse, web};

use super::{
    BODY_BYTES_MAX, BodyMembers, answer,
    dead_letters::{HandledView, from_secs},
    streams::parse_id,
};
use crate::{
    delivery::outbox::Seq,
    http::{auth::Operator, body::Body, error::ApiError},
    transmitter::{
        Transmitter,
        replay::{Replay, ReplayFrom, ReplayJti},
    },
};

pub(in crate::http) async fn replay(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    id: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let mut members = BodyMembers(body.at_most(BODY_BYTES_MAX).object().await?);
    let time = members.number("since")?.map(|secs| ReplayFrom::Time(from_secs(secs)));
    let jti = members.parsed("from_jti")?.map(ReplayFrom::Jti);
    let position = members.number("from_position")?.map(|seq| ReplayFrom::Position(Seq(seq)));
    let mut from = [time, jti, position].into_iter().flatten();
    let (Some(from), None) = (from.next(), from.next()) else {
        return Err(ApiError::bad(
            "since",
            "or `from_jti` or `from_position` is required, and one alone",
        ));
    };
    let jti = match members.text("jti")?.as_deref() {
        None | Some("kept") => ReplayJti::Kept,
        Some("new") => ReplayJti::New,
        Some(_) => return Err(ApiError::bad("jti", "must be `kept` or `new`")),
    };
    let (after, limit) = (members.text("after")?.map(Into::into), members.limit()?);
    let dry_run = members.flag("dry_run")?;
    members.end()?;
    let replay = Replay { from, jti, after, limit, dry_run };
    let handled = transmitter.replay(&parse_id(&id)?, replay).await?;
    Ok(answer(HttpResponse::Ok(), HandledView::from(handled)))
}
