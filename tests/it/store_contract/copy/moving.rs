//! A store that moves into one of the other kind whenever it is opened again: what a case of the suite
//! or the model says of a restart then holds for a copy.

use proptest::prelude::*;

use super::{
    super::model::{replay, steps},
    *,
};

#[derive(Default)]
struct Moving {
    sqlite: Sqlite,
    redis: Standalone,
    opened: Cell<u32>,
}

impl Backend for Moving {
    async fn try_open(&self) -> Result<Arc<dyn Store>, StoreError> {
        let (sqlite, redis) = (self.sqlite.open().await, self.redis.open().await);
        let opened = self.opened.replace(self.opened.get() + 1);
        let (source, target) =
            if opened.is_multiple_of(2) { (redis, sqlite) } else { (sqlite, redis) };
        if opened != 0 {
            // Deleted records of the source are still in the target.
            let copied = ssfd::store::copy::copy(&*source, &*target, true, &untold).await;
            copied.expect("copied");
        }
        Ok(target)
    }

    async fn open_to_fill(&self) -> Arc<dyn Store> {
        self.open().await
    }
}

run_contract_on!(Moving::default());

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn an_outbox_that_moves_behaves_like_its_model(steps in steps()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(replay(Moving::default(), steps));
    }
}
