//! Applies the changes of other nodes, and does what the cluster asks of this node.

use async_trait::async_trait;
use futures_util::{FutureExt as _, future::BoxFuture};

use super::Transmitter;
use crate::{
    clock,
    cluster::{change_feed::notice::Notice, local_node::LocalNode},
    domain::id::StreamId,
    store::{
        StoreError,
        slot::{Slot, SlotSet},
    },
};

#[async_trait]
impl LocalNode for Transmitter {
    async fn sweep(&self, slots: SlotSet) -> Result<(), StoreError> {
        self.registry.sweep(slots).await.map(drop)
    }

    fn drain(&self, slots: SlotSet) -> Vec<(Slot, BoxFuture<'static, ()>)> {
        let left = self.registry.leave(slots).into_iter();
        left.map(|(slot, ended)| (slot, ended.boxed())).collect()
    }

    async fn apply(&self, notice: &Notice) -> Result<(), StoreError> {
        self.refresh(&notice.changed.iter().collect::<Vec<_>>()).await?;
        if notice.more_changed {
            // A comparison finds the streams that were changed, but not those that lost a subject.
            // So every SET that was read is read again, because the store judges its subject then.
            for id in self.store.streams_with_list().await? {
                self.directory.subject_removed(&id);
            }
            self.directory.subjects_removed_anywhere();
        }
        for id in &notice.narrowed {
            self.directory.subject_removed(id);
            self.wake_here(std::slice::from_ref(id), false);
        }
        for control in [true, false] {
            let woken = notice.woken.iter().filter(|(_, of)| **of == control);
            let woken: Vec<StreamId> = woken.map(|(id, _)| id.clone()).collect();
            self.wake_here(&woken, control);
        }
        if notice.more_woken {
            self.waiters.wake_all();
            self.registry.sweep(self.sharing.lease.slots()).await?;
        }
        Ok(())
    }

    fn streams_in(&self, slot: Slot) -> Vec<StreamId> {
        let streams = self.directory.all(|stream| Slot::of_stream(&stream.id) == slot);
        streams.iter().map(|stream| stream.id.clone()).collect()
    }

    fn on_node_crashed(&self) {
        self.activity.touch_all(&self.directory.all(|_| true), clock::now());
    }
}
