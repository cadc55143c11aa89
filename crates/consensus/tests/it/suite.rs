//! openraft's own store suite, against the real stores.

use banyan_consensus::{LogAdapter, StateMachine, TokioRuntime, TypeConfig};
use banyan_storage::{FirstStart, Identity, StoreOptions, Stores};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;

type C = TypeConfig<TokioRuntime>;

struct Builder;

impl StoreBuilder<C, LogAdapter<TokioRuntime>, StateMachine<TokioRuntime>, TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<
        (
            TempDir,
            LogAdapter<TokioRuntime>,
            StateMachine<TokioRuntime>,
        ),
        StorageError<C>,
    > {
        let directory = tempfile::tempdir().expect("a directory");
        let identity = Identity {
            cluster: "suite".to_owned(),
            node: 1,
        };
        // The suite applies and purges entries that it never appended, which the stores refuse otherwise.
        let options = StoreOptions {
            conformance: true,
            ..StoreOptions::default()
        };
        let path = directory.path().join("data");
        let stores =
            Stores::open(&path, &identity, FirstStart::Permitted, &options).expect("stores");
        let log = LogAdapter::new(stores.clone());
        Ok((directory, log, StateMachine::new(stores.state)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_pass_openrafts_suite() {
    Suite::test_all(Builder).await.expect("the suite passes");
}
