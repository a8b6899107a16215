//! Logs and counts what happens at a courier.

use super::StreamActor;
use crate::{
    clock,
    delivery::{
        courier::CourierNote,
        outbox::{Disposition, PendingSet},
    },
    domain::reason::Reason,
    telemetry::metrics::{self, MethodLabel},
};

impl StreamActor {
    pub(super) fn note(&mut self, note: CourierNote) {
        let stream_id = &self.id;
        match note {
            CourierNote::Answered { class } => metrics::push_attempt(&self.provider, class),
            CourierNote::Judged { set, disposition, deviates } => {
                if deviates {
                    metrics::push_deviation(&self.provider);
                }
                self.judged(&set, &disposition);
            }
            CourierNote::SignedAgain { set } => {
                tracing::info!(%stream_id, jti = %set.jti, "will be signed again");
            }
            CourierNote::GivenUp { sets } => {
                metrics::sets_dead(&self.provider, Reason::Expired, sets);
                tracing::warn!(%stream_id, sets, reason = %Reason::Expired, "dead-lettered untried");
            }
            CourierNote::CutOff(true) => {
                self.cut_off = Some(metrics::endpoint_cut_off());
                tracing::warn!(%stream_id, "the endpoint is out of reach, and probed");
            }
            CourierNote::CutOff(false) => {
                self.cut_off = None;
                tracing::info!(%stream_id, "the endpoint is no longer cut off");
            }
            CourierNote::StartedOver(changed) => {
                tracing::debug!(%stream_id, ?changed, "the stream was changed");
            }
        }
    }

    fn judged(&self, set: &PendingSet, disposition: &Disposition) {
        let (stream_id, jti, attempts) = (&self.id, &set.jti, set.attempts + 1);
        match disposition {
            Disposition::Delivered => {
                let now = clock::now();
                let age = now.since(set.appended_at);
                self.environment.accepted.note(&self.provider, stream_id, now);
                metrics::sets_delivered(&self.provider, MethodLabel::Push, 1);
                metrics::set_age(&self.provider, MethodLabel::Push, age);
                tracing::debug!(%stream_id, %jti, attempts, "delivered");
            }
            Disposition::Dead { reason, detail } | Disposition::GivenUp { reason, detail } => {
                metrics::sets_dead(&self.provider, *reason, 1);
                tracing::warn!(%stream_id, %jti, attempts, %reason, detail, "dead-lettered");
            }
            Disposition::RetryAt { due_at, error } => {
                let wait = due_at.since(clock::now());
                tracing::info!(%stream_id, %jti, attempts, error, ?wait, "will be retried");
            }
        }
    }
}
